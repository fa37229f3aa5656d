import type { TokenVerifier, User } from "../../src/auth/verify.ts";
import { type Config, readConfig } from "../../src/config/config.ts";
import type { Database, Orm } from "../../src/db/client.ts";
import { openForges } from "../../src/forges/open-forges.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openRepositories } from "../../src/repositories/repositories.ts";
import { openReviews } from "../../src/review/reviews.ts";
import { RepositoryError } from "../../src/sandboxes/sandbox.ts";
import { type AppOptions, createApp } from "../../src/server/app.ts";
import { AppError } from "../../src/shared/errors.ts";
import { noMetrics } from "./metrics.ts";

/** Accepts every token as the id of its user, except `bad`; `admin` has that role. */
export const nameIsToken: TokenVerifier = {
  async verify(token) {
    if (token === "bad") throw new AppError("unauthorized", "The token is bad.");
    return userNamed(token);
  },
  isTrusted: async () => true,
};

/** A hub for an app whose streams are not tested. */
export const noStreams: AppOptions["hub"] = {
  stream() {
    throw new Error("there are no live streams here");
  },
};

/** For an app whose repositories are not tested: none can be read. */
export const noReviews = ({ orm }: Pick<Database, "orm">) =>
  openReviews({
    orm,
    sandboxes: {
      repositoryFor() {
        throw new RepositoryError("There are no repositories here.");
      },
    },
  });

/** The same for those that a user may want to work on. */
export const noRepositories = ({ orm }: Pick<Database, "orm">, config: Config) =>
  openRepositories({
    orm,
    config,
    forges: openForges([]),
    logger: createLogger({ level: "silent" }),
    sandboxes: { branchesOf: () => Promise.reject(new RepositoryError("There are no repositories here.")) },
  });

/** For an app of whose machine nothing is tested. */
export const noMachine: AppOptions["here"] = async () => ({
  uptime_seconds: 0,
  host: "here",
  tasks: [],
  sandboxes: { provider: "local", disk_limit_bytes: 0, disk_limit_enforced: false, disk_detail: "" },
  disk_free_bytes: null,
});

export const userNamed = (id: string): User => ({
  id,
  roles: id === "admin" ? ["admin"] : [],
  expiresAt: Date.UTC(2100, 0, 1),
});

const made = new WeakMap<object, ReturnType<typeof newApp>>();

/**
 * The whole API, without a server. Without a database, operations that need one answer 500. With a database and no other
 * option it is created once per database, because that takes longer than most requests.
 */
export function makeApp(options: Parameters<typeof newApp>[0] = {}): ReturnType<typeof newApp> {
  const { database } = options ?? {};
  if (!database || Object.keys(options ?? {}).length > 1) return newApp(options);
  const app = made.get(database) ?? newApp(options);
  made.set(database, app);
  return app;
}

function newApp({ env = {}, ...options }: Partial<AppOptions> & { env?: Record<string, string> } = {}) {
  const { database = { orm: {} as Orm } } = options;
  const config = options.config ?? readConfig({ DATA_DIR: "/nonexistent", ...env });
  return createApp({
    database,
    hub: noStreams,
    forges: openForges([]),
    repositories: noRepositories(database, config),
    reviews: noReviews(database),
    metrics: noMetrics(),
    config,
    logger: createLogger({ level: "silent" }),
    version: "0",
    publicKey: () => undefined,
    verifier: nameIsToken,
    setup: { agent: { name: "claude", reason: null }, embedded: false },
    here: noMachine,
    health: async () => ({
      version: "0",
      agent: "",
      isolation: { isolated: true, detail: "" },
      database: "",
      queue: "",
    }),
    ...options,
  });
}

/** Sends JSON as a user, and reads the reply. */
export async function ask(
  app: { handle(request: Request): Promise<Response> },
  user: string | undefined,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const reply = await app.handle(
    new Request(`http://localhost${path}`, {
      method,
      headers: {
        ...(user !== undefined && { authorization: `Bearer ${user}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }),
  );
  const text = await reply.text();
  return {
    status: reply.status,
    headers: reply.headers,
    // biome-ignore lint/suspicious/noExplicitAny: replies of every shape are read here.
    body: (text === "" ? undefined : JSON.parse(text)) as any,
  };
}

/** Sends JSON to the whole API on this database, as one user or another. */
export const senderOf =
  (database: () => Database) =>
  (user: string, method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
    ask(makeApp({ database: database() }), user, method, path, body, headers);

/** What a user does in tests of one room: send JSON, and create a session with a queued prompt. The user is alice. */
export function clientOf(database: () => Database) {
  const sendAs = senderOf(database);
  const send = (method: string, path: string, body?: unknown, user = "alice") =>
    sendAs(user, method, path, body);
  const create = async (text = "Fix the login timeout", user = "alice") =>
    (
      await send(
        "POST",
        "/sessions/with-prompt",
        { repo: "owner/name", target_branch: "main", messages: text },
        user,
      )
    ).body as { sessionId: string; promptId: string };
  return { send, create };
}
