import { type Config, readConfig } from "../../src/config/config.ts";
import type { ForgeHost } from "../../src/config/forge-hosts.ts";
import type { Database } from "../../src/db/client.ts";
import { session } from "../../src/db/tables.ts";
import type { Forge, ListedRepository } from "../../src/forges/forge.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openRepositories } from "../../src/repositories/repositories.ts";
import type { BranchList } from "../../src/sandboxes/sandbox.ts";
import { Secret } from "../../src/shared/secret.ts";
import { ask, makeApp } from "../harness/app.ts";

/** A forge that can list repositories, and nothing else. @param list undefined: it has no credential. */
export function listingForge(
  url: string,
  list: ((signal: AbortSignal) => Promise<readonly ListedRepository[]>) | undefined,
): Forge {
  const host: ForgeHost = {
    ...{ kind: "github", url, apiUrl: url, setting: "FORGES" },
    credential: list && { kind: "token", token: new Secret("secret-token") },
  };
  const listRepositories: Forge["listRepositories"] =
    list ?? (() => Promise.reject(new Error("it was asked")));
  return { host, listRepositories } as Forge;
}

/** The API with these hosts, whose repositories have these branches. */
export function repositoriesApp(
  database: Database,
  options: {
    env?: Record<string, string>;
    forges?: readonly Forge[];
    patienceMs?: number;
    branches?: (repo: string, signal: AbortSignal) => Promise<BranchList>;
  } = {},
) {
  const { env = {}, forges = [], patienceMs } = options;
  const read = readConfig({ DATA_DIR: "/nonexistent", ...env });
  const config: Config = { ...read, forges: [...read.forges, ...forges.map(({ host }) => host)] };
  const repositories = openRepositories({
    orm: database.orm,
    config,
    forges: { all: forges },
    logger: createLogger({ level: "silent" }),
    sandboxes: {
      branchesOf: async ({ repo }, signal) =>
        options.branches?.(repo, signal) ?? { defaultBranch: null, names: [] },
    },
    ...(patienceMs !== undefined && { patienceMs }),
  });
  const app = makeApp({ database, config, repositories });
  return {
    repositories,
    get: (path: string, user = "alice", headers: Record<string, string> = {}) =>
      ask(app, user, "GET", path, undefined, headers),
  };
}

/** Sessions of one user, each a minute younger than the one before. */
export async function seedUses(
  database: Database,
  userId: string,
  uses: readonly (readonly [repo: string, targetBranch: string, deleted?: "deleted"])[],
): Promise<void> {
  const at = (index: number) => new Date(Date.UTC(2026, 10, 28, 10, index));
  await database.orm.insert(session).values(
    uses.map(([repo, targetBranch, deleted], index) => ({
      ...{ id: Bun.randomUUIDv7(), userId, repo, targetBranch, title: "A session" },
      ...{ branch: `prompt/${crypto.randomUUID()}`, createdAt: at(index) },
      ...(deleted && { deletedAt: at(index) }),
    })),
  );
}
