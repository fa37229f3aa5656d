import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { eq } from "drizzle-orm";
import { deadLetter, prompt, session } from "../../src/db/tables.ts";
import type { RunnerDeps } from "../../src/runs/runner.ts";
import { killMarked, MARKER } from "../../src/sandboxes/process/processes.ts";
import { agentOf, openRunBench, type RunBench } from "./fixture.ts";

const LONG = 60_000;

describe("failed runs", () => {
  let bench: RunBench;
  beforeAll(async () => {
    bench = await openRunBench();
  }, LONG);
  afterAll(() => bench.close());

  test(
    "transient failures are retried, configuration failures fail at once, the agent's failures are the user's",
    async () => {
      const { database, depsFor, submit, run, promptRow, sessionRow } = bench;
      const away = await submit("file:///nowhere");
      await run(away.promptId, depsFor(agentOf("true")));
      expect(await promptRow(away.promptId)).toMatchObject({ status: "Failed", errorKind: "configuration" });
      const own = await submit();
      await run(own.promptId, depsFor(agentOf("exit 3")));
      expect(await promptRow(own.promptId)).toMatchObject({ status: "Failed", errorKind: "agent" });
      expect(await database.orm.select().from(deadLetter)).toEqual([]);

      const broken = await submit();
      const open = () => Promise.reject(Object.assign(new Error("disk"), { code: "ENOSPC" }));
      const deps = depsFor(agentOf("true"), { sandboxes: { ...bench.stage.provider, open } });
      for (let attempt = 1; attempt <= 5; attempt += 1) {
        await run(broken.promptId, deps);
        const row = await promptRow(broken.promptId);
        expect(row).toMatchObject({
          attempt,
          errorKind: "transient",
          status: attempt < 5 ? "Queued" : "Failed",
        });
        await database.orm.update(prompt).set({ notBefore: null }).where(eq(prompt.id, broken.promptId));
      }
      const [entry] = await database.orm
        .select()
        .from(deadLetter)
        .where(eq(deadLetter.entityId, broken.promptId));
      expect(entry).toMatchObject({ kind: "transient", retryCount: 5, userId: "alice" });
      if (!entry) throw new Error("no dead letter");
      const { failures } = entry.entityData as { failures: unknown[] };
      expect(failures).toHaveLength(5);
      expect(await sessionRow(broken.sessionId)).toMatchObject({ sessionStatus: "Failed" });
    },
    LONG,
  );

  test(
    "work that cannot be delivered for a moment is delivered later, not done again",
    async () => {
      const { depsFor, submit, run, promptRow, sessionRow, fileOn } = bench;
      const { sessionId, promptId } = await submit();
      let failures = 0;
      const open: RunnerDeps["sandboxes"]["open"] = async (...args) => {
        const sandbox = await bench.stage.provider.open(...args);
        return {
          ...sandbox,
          async deliverWork(...rest) {
            const result = await sandbox.deliverWork(...rest);
            if (failures++ === 0) throw Object.assign(new Error("disk"), { code: "ENOSPC" });
            return result;
          },
        };
      };
      const deps = depsFor(agentOf("echo once >> work.txt"), {
        sandboxes: { ...bench.stage.provider, open },
      });
      await run(promptId, deps);
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1 });
      expect(await fileOn((await sessionRow(sessionId))?.branch, "work.txt")).toBe("once\n");
    },
    LONG,
  );

  test(
    "a prompt whose runners keep dying becomes a dead letter, with its work on the branch",
    async () => {
      const { stage, database, depsFor, submit, run, promptRow, sessionRow, says, fileOn } = bench;
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
      const sandboxId = (await sessionRow(sessionId))?.sbxConfig?.id ?? "";
      await Bun.$`pkill -9 -f ${join(stage.dataDir, "sandboxes", sandboxId)}`.nothrow().quiet();
      await killMarked(MARKER, sandboxId);
      await database.orm.update(prompt).set({ attempt: 5 }).where(eq(prompt.id, promptId));
      await run(promptId, depsFor(agentOf("echo started again")));
      expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "poison" });
      const row = await sessionRow(sessionId);
      expect(row).toMatchObject({ sessionStatus: "Failed" });
      expect(await fileOn(row?.branch, "half.txt")).toBe("half\n");
      expect(
        await database.orm.select().from(deadLetter).where(eq(deadLetter.entityId, promptId)),
      ).toHaveLength(1);
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
