import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { eq, sql } from "drizzle-orm";
import { prompt, session } from "../../src/db/tables.ts";
import { DETACHED } from "../../src/lifecycle/end-run.ts";
import { openLeaseManager } from "../../src/runs/leases.ts";
import { runClaimed } from "../../src/runs/runner.ts";
import { killMarked, MARKER } from "../../src/sandboxes/process/processes.ts";
import { agentOf, logger, never, openRunBench, type RunBench } from "./fixture.ts";

const LONG = 60_000;

describe("takeovers", () => {
  let bench: RunBench;
  beforeAll(async () => {
    bench = await openRunBench();
  }, LONG);
  afterAll(() => bench.close());

  test(
    "a fenced-off runner leaves the agent to the one that adopted it, and no line is lost or duplicated",
    async () => {
      const { database, depsFor, submit, claim, run, promptRow, textsOf, says } = bench;
      const { promptId } = await submit();
      const script = "for i in $(seq 60); do echo line $i; sleep 0.03; done; cat > work.txt";
      const first = run(promptId, depsFor(agentOf(script)));
      await says(promptId, "line 5");
      await database.orm
        .update(prompt)
        .set({ leaseExpiresAt: sql`now() - interval '1 second'` })
        .where(eq(prompt.id, promptId));
      const other = openLeaseManager({ orm: database.orm, logger });
      const claimed = await claim(promptId, other.owner);
      await runClaimed(depsFor(agentOf(script), { leases: other }), claimed, never);
      await first;
      await other.close();
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1 });
      expect((await textsOf(promptId)).slice(0, 60)).toEqual(
        Array.from({ length: 60 }, (_, n) => `line ${n + 1}`),
      );
    },
    LONG,
  );

  test(
    "a killed agent with a transcript resumes in its checkout, and the session says so",
    async () => {
      const { stage, depsFor, submit, run, promptRow, sessionRow, textsOf, says } = bench;
      const { sessionId, promptId } = await submit();
      const stop = new AbortController();
      const first = run(
        promptId,
        depsFor(agentOf("echo half > half.txt; echo begun; sleep 600")),
        stop.signal,
      );
      await says(promptId, "begun");
      stop.abort(new Error("shutting down"));
      await first;
      expect(await promptRow(promptId)).toMatchObject({ status: "Running", leaseOwner: DETACHED });
      const sandboxId = (await sessionRow(sessionId))?.sbxConfig?.id ?? "";
      await Bun.$`pkill -9 -f ${join(stage.dataDir, "sandboxes", sandboxId)}`.nothrow().quiet();
      await killMarked(MARKER, sandboxId);
      const remembers = agentOf("cat half.txt; cat", { hasTranscript: async () => true });
      await run(promptId, depsFor(remembers));
      const texts = await textsOf(promptId);
      expect(texts).toContain("The service was interrupted; the agent resumes its work.");
      expect(texts).toContain("half");
      expect(texts.join("\n")).toContain("You were interrupted");
      expect(texts.join("\n")).toContain("Do it");
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 2 });
    },
    LONG,
  );

  test(
    "an agent killed with its supervisor while its runner watches: another attempt, from a clean checkout",
    async () => {
      const { stage, database, depsFor, submit, run, promptRow, sessionRow, textsOf, says } = bench;
      const { sessionId, promptId } = await submit();
      const first = run(promptId, depsFor(agentOf("echo half > half.txt; echo begun; sleep 600")));
      await says(promptId, "begun");
      const sandboxId = (await sessionRow(sessionId))?.sbxConfig?.id ?? "";
      await Bun.$`pkill -9 -f ${join(stage.dataDir, "sandboxes", sandboxId)}`.nothrow().quiet();
      await killMarked(MARKER, sandboxId);
      await first;
      expect(await promptRow(promptId)).toMatchObject({
        status: "Queued",
        errorKind: "transient",
        attempt: 1,
      });
      await database.orm.update(prompt).set({ notBefore: null }).where(eq(prompt.id, promptId));
      await run(promptId, depsFor(agentOf("ls; cat > whole.txt")));
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 2 });
      expect(await textsOf(promptId)).not.toContain("half.txt");
    },
    LONG,
  );

  test(
    "work that may have left the sandbox is not repeated elsewhere: the prompt is interrupted",
    async () => {
      const { depsFor, submit, claim, promptRow, textsOf } = bench;
      const { promptId } = await submit();
      const claimed = await claim(promptId);
      const process = {
        host: "gone",
        id: crypto.randomUUID(),
        pid: 1,
        started: 1,
        boot: "b",
        delivering: true,
      };
      const sbxConfig = { provider: "local", id: crypto.randomUUID(), host: "gone" } as const;
      await runClaimed(depsFor(agentOf("echo started")), { ...claimed, process, sbxConfig }, never);
      expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "interrupted" });
      expect((await textsOf(promptId)).join()).not.toContain("started");
    },
    LONG,
  );

  test("only what sessions hold is left", async () => {
    const { stage, database } = bench;
    const held = await database.orm.select({ config: session.sbxConfig }).from(session);
    const ids = held.flatMap(({ config }) => config?.id ?? []);
    for (const id of await readdir(join(stage.dataDir, "sandboxes"))) expect(ids).toContain(id);
  });
});
