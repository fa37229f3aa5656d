import { eq } from "drizzle-orm";
import type { ForgeHost } from "../../src/config/forge-hosts.ts";
import type { Database } from "../../src/db/client.ts";
import { effect } from "../../src/db/effect-tables.ts";
import { session } from "../../src/db/tables.ts";
import { openForges } from "../../src/forges/open-forges.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { performDue } from "../../src/pull-requests/effect-loop.ts";
import type { EffectDeps } from "../../src/pull-requests/perform.ts";
import { openTargets } from "../../src/pull-requests/targets.ts";
import type { GithubStandIn } from "../harness/github-stand-in.ts";
import { seedSession } from "../harness/seed.ts";

export const COMMIT = "a".repeat(40);
const never = new AbortController().signal;

/** What performs effects, on a stand-in. */
export function effectDeps(database: Database, host: ForgeHost, more: Partial<EffectDeps> = {}): EffectDeps {
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
