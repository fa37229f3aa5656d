import { afterAll, beforeAll } from "bun:test";
import { and, eq } from "drizzle-orm";
import type { ForgeHost } from "../../src/config/forge-hosts.ts";
import type { Database } from "../../src/db/client.ts";
import { effect } from "../../src/db/effect-tables.ts";
import { auditPending } from "../../src/db/safety-tables.ts";
import { session } from "../../src/db/tables.ts";
import { openForges } from "../../src/forges/open-forges.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { performDue } from "../../src/pull-requests/effect-loop.ts";
import type { EffectDeps } from "../../src/pull-requests/perform.ts";
import { openTargets } from "../../src/pull-requests/targets.ts";
import type { AppOptions } from "../../src/server/app.ts";
import { ask, makeApp } from "../harness/app.ts";
import { downloadGithubDescriptions } from "../harness/github-description.ts";
import { type GithubStandIn, startGithubStandIn } from "../harness/github-stand-in.ts";
import { seedSession } from "../harness/seed.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

export const COMMIT = "a".repeat(40);
const never = new AbortController().signal;

/** The client of GitHub keeps a pace of writing, of seconds, by the URL of the API. */
let paces = 0;

/** What performs effects, on a stand-in, at a pace of its own. */
export function effectDeps(database: Database, at: ForgeHost, more: Partial<EffectDeps> = {}): EffectDeps {
  paces += 1;
  const host = { ...at, apiUrl: at.apiUrl.replace(/\/api\/v3$/, `/${paces}$&`) };
  return {
    orm: database.orm,
    targetOf: openTargets({ githubUrl: host.url, forges: [host], local: undefined }, openForges([host])),
    publicUrl: "https://agents.example.com",
    archiveWhen: "never",
    labels: [],
    reviewers: [],
    retryMs: 3_600_000,
    ended: () => undefined,
    logger: createLogger({ level: "silent" }),
    ...more,
  };
}

/** A stand-in, and an app whose forge it is, for the tests of a group. The user is alice. */
export function pullRequestsOn(database: () => Database) {
  let github: GithubStandIn;
  let host: ForgeHost;
  let app: ReturnType<typeof makeApp>;
  beforeAll(async () => {
    await downloadGithubDescriptions();
    github = await startGithubStandIn();
    host = { ...github.host(github.addToken()), setting: "GITHUB_TOKEN" };
    const env = { GITHUB_URL: github.url, ARCHIVE_MERGED: "merged" };
    app = makeApp({
      database: database() as Database & AppOptions["database"],
      forges: openForges([host]),
      env,
    });
  }, SLOW_TEST_TIMEOUT_MS);
  afterAll(() => github.stop());

  const send = (method: string, path: string, body?: unknown, user = "alice") =>
    ask(app, user, method, path, body);
  const deps = (more: Partial<EffectDeps> = {}) => effectDeps(database(), host, more);
  return {
    github: () => github,
    send,
    deps,
    seed: (messages?: string[]) => pushedSession(database(), github, messages),
    /** Sends what waits for an effect, and performs it. */
    make: (path: string, body?: unknown, more?: Partial<EffectDeps>) =>
      performing(deps(more), send("POST", path, body)),
    /** Performs what waits, as if its time had come. */
    async later(sessionId: string, more?: Partial<EffectDeps>) {
      await makeDue(database(), sessionId);
      await performDue(deps(more), never);
    },
  };
}

/** Performs what is due until `done` has settled, as the task does. */
export async function performing<T>(deps: EffectDeps, done: Promise<T>): Promise<T> {
  let pending = true;
  const end = () => {
    pending = false;
  };
  done.then(end, end);
  while (pending) {
    await performDue(deps, never);
    await Bun.sleep(10);
  }
  return done;
}

/** Makes what waits for its time, or for the lease of a runner that was killed, due now. */
export const makeDue = (database: Database, sessionId: string) =>
  database.orm
    .update(effect)
    .set({ dueAt: new Date(0), leaseUntil: null })
    .where(eq(effect.sessionId, sessionId));

/** A session of alice whose branch is pushed, and its repository on the stand-in. */
export async function pushedSession(
  database: Database,
  github: GithubStandIn,
  messages = ["Fix it", "Fixed."],
) {
  const { sessionId } = await seedSession(database, 1);
  const path = `owner/r${sessionId.slice(-8)}`;
  const branch = `prompt/${sessionId}`;
  const repository = github.addRepository(path, {
    branches: new Map([
      ["main", "b".repeat(40)],
      [branch, COMMIT],
    ]),
  });
  const turn = (content: string, index: number) => ({
    role: index === 0 ? ("user" as const) : ("assistant" as const),
    ...{ content, prompt_id: sessionId, at: new Date(0).toISOString() },
  });
  await database.orm
    .update(session)
    .set({ repo: path, pushedCommit: COMMIT, messages: messages.map(turn) })
    .where(eq(session.id, sessionId));
  return { sessionId, branch, repository, path: `/sessions/${sessionId}/pull-request` };
}

/** What the audit log has of pull requests that were made of a session. */
export const madeActs = async (database: Database, sessionId: string) =>
  (
    await database.orm
      .select({ detail: auditPending.detail })
      .from(auditPending)
      .where(
        and(eq(auditPending.target, `session:${sessionId}`), eq(auditPending.action, "pull_request.create")),
      )
  ).map(({ detail }) => detail);
