import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { eq } from "drizzle-orm";
import type { Database } from "../../src/db/client.ts";
import { effect } from "../../src/db/effect-tables.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { performDue } from "../../src/pull-requests/effect-loop.ts";
import { wantPullRequest } from "../../src/pull-requests/store.ts";
import { downloadGithubDescriptions } from "../harness/github-description.ts";
import { type GithubStandIn, startGithubStandIn } from "../harness/github-stand-in.ts";
import { type RunningProcess, startProcess } from "../harness/process.ts";
import { createDatabase, describeWith } from "../harness/services.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { effectDeps, makeDue, pushedSession } from "./fixture.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);
const never = new AbortController().signal;

describeWith("postgres", "a process that is killed on the way to a pull request", () => {
  let github: GithubStandIn;
  let credential: ReturnType<GithubStandIn["addToken"]>;
  let made: Awaited<ReturnType<typeof createDatabase>>;
  let database: Database;
  beforeAll(async () => {
    await downloadGithubDescriptions();
    github = await startGithubStandIn();
    credential = github.addToken();
    made = await createDatabase();
    database = await openPostgres({ url: made.url, poolMax: 4, logger: createLogger({ level: "silent" }) });
  }, SLOW_TEST_TIMEOUT_MS);
  afterAll(async () => {
    await database.close();
    await made.drop();
    await github.stop();
  });

  const start = (mode: "want" | "perform", sessionId: string) =>
    startProcess({
      argv: [
        process.execPath,
        join(import.meta.dir, "performer.ts"),
        ...[mode, made.url, github.url, credential.token.reveal(), sessionId],
      ],
      env: {},
      cwd: "/",
    });
  const deps = () => effectDeps(database, github.host(credential));
  const want = (sessionId: string) =>
    database.orm.transaction((tx) =>
      wantPullRequest(tx, { userId: "alice", sessionId, targetOf: deps().targetOf, request: {} }),
    );
  const statusOf = async (sessionId: string) =>
    (await database.orm.select().from(effect).where(eq(effect.sessionId, sessionId))).map(
      ({ status }) => status,
    );

  /** Kills the performer when the host is at the request; then its answer, if any, reaches nobody. */
  const killAt = (pattern: RegExp, when: "before" | "after") => {
    const reached = Promise.withResolvers<void>();
    const killed = Promise.withResolvers<void>();
    github.once(pattern, async (_request, proceed) => {
      const reply = when === "after" ? await proceed() : undefined;
      reached.resolve();
      await killed.promise;
      return reply ?? { status: 502, body: { message: "Bad Gateway" } };
    });
    return async (running: RunningProcess) => {
      await reached.promise;
      running.kill("SIGKILL");
      await running.exit;
      killed.resolve();
    };
  };
  const byLine = (line: RegExp) => async (running: RunningProcess) => {
    await running.waitForLine(line, { timeoutMs: SLOW_TEST_TIMEOUT_MS });
    running.kill("SIGKILL");
    await running.exit;
  };

  const steps = [
    ["before the intent", "want", () => byLine(/wanted/), []],
    ["after the intent", undefined, undefined, ["intended"]],
    ["while it looks", "perform", () => killAt(/^GET .*\/pulls$/, "before"), ["intended"]],
    ["before the host has made it", "perform", () => killAt(/^POST .*\/pulls$/, "before"), ["uncertain"]],
    ["when the host has made it", "perform", () => killAt(/^POST .*\/pulls$/, "after"), ["uncertain"]],
    ["after the result", "perform", () => byLine(/performed/), ["done"]],
  ] as const;
  test.each(steps.map((step) => [step[0], step] as const))(
    "%s: there is one pull request in the end",
    async (_name, [, mode, killer, left]) => {
      const { sessionId, repository } = await pushedSession(database, github);
      if (mode !== "want") await want(sessionId);
      if (mode && killer) {
        const kill = killer();
        await using running = start(mode, sessionId);
        await kill(running);
      }
      expect(await statusOf(sessionId)).toEqual([...left]);
      if (left.length === 0) await want(sessionId);
      if (left[0] !== "done") {
        await makeDue(database, sessionId);
        await performDue(deps(), never);
      }
      await want(sessionId);
      await performDue(deps(), never);
      expect(repository.pulls).toHaveLength(1);
      expect(await statusOf(sessionId)).toEqual(["done"]);
    },
  );
});
