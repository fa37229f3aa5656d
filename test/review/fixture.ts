import type { Database } from "../../src/db/client.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { openReviews } from "../../src/review/reviews.ts";
import type { SandboxProvider } from "../../src/sandboxes/sandbox.ts";
import { makeApp } from "../harness/app.ts";
import type { TestRepository } from "../harness/repository.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

type Repositories = Pick<SandboxProvider, "repositoryFor">;

/** The API, with repositories of this machine. */
export function reviewApp(database: Database, sandboxes: { provider: Repositories }) {
  // On a busy machine, a fetch takes longer than a request waits for it: these tests wait as long as they may.
  const patience = { some: SLOW_TEST_TIMEOUT_MS, none: SLOW_TEST_TIMEOUT_MS };
  const reviews = openReviews({ orm: database.orm, sandboxes: sandboxes.provider, patience });
  const app = makeApp({ database, reviews });
  const get = (path: string, options: { user?: string; headers?: Record<string, string> } = {}) =>
    app.handle(
      new Request(`http://localhost${path}`, {
        headers: { authorization: `Bearer ${options.user ?? "alice"}`, ...options.headers },
      }),
    );
  return { app, reviews, get };
}

const COMMIT = "0123456789".repeat(4);
/** Repositories with one commit, and nothing in it. */
export const emptyRepositories: Repositories = {
  repositoryFor: () => ({
    fetch: async () => ({ start: COMMIT, base: COMMIT }),
    read: {
      commits: async () => undefined,
      contains: async () => false,
      isIn: async () => true,
      parted: async () => ({ base: COMMIT, since: COMMIT }),
      mergedBase: async () => COMMIT,
      diffsTo: async () => new Map(),
      diff: async () => ({ files: [], additions: 0, deletions: 0, truncated: false }),
      patch: async () => new Uint8Array(),
      conflicts: async () => [],
      log: async () => [],
      show: async () => ({ type: "directory", id: COMMIT, entries: [], truncated: false }),
    },
  }),
};

/**
 * A session whose work is a branch of the repository, as if it had been pushed.
 * @param work of each prompt, the first and the last commit.
 */
export async function seedWork(
  database: Database,
  repo: TestRepository,
  work: { branch: string; user?: string; prompts: readonly { start: string | null; commit: string }[] },
): Promise<{ sessionId: string; promptIds: string[] }> {
  const { branch, user = "alice", prompts } = work;
  const sessionId = crypto.randomUUID();
  await database.orm.insert(session).values({
    ...{ id: sessionId, userId: user, repo: repo.path, targetBranch: "main", branch, title: "A session" },
    pushedCommit: (await repo.git("rev-parse", branch)).trim(),
    promptSeq: prompts.length,
  });
  const promptIds = prompts.map(() => crypto.randomUUID());
  if (prompts.length > 0)
    await database.orm.insert(prompt).values(
      prompts.map(({ start, commit }, index) => ({
        ...{ id: String(promptIds[index]), sessionId, userId: user, seq: index + 1, data: "x" },
        ...{ status: "Completed" as const, startCommit: start, commit },
      })),
    );
  return { sessionId, promptIds };
}
