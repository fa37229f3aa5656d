import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { session } from "../../src/db/tables.ts";
import { addPrompt } from "../../src/prompts/create-store.ts";
import { runClaimed } from "../../src/runs/runner.ts";
import { MARKER } from "../../src/sandboxes/process/processes.ts";
import { agentOf, never, openRunBench, type RunBench } from "./fixture.ts";

const LONG = 60_000;

describe("a prompt that is cancelled", () => {
  let bench: RunBench;
  beforeAll(async () => {
    bench = await openRunBench();
  }, LONG);
  afterAll(() => bench.close());

  test(
    "cancelled while it works: the process tree is gone, the partial work is on the branch",
    async () => {
      const { depsFor, submit, run, promptRow, sessionRow, says, cancel, fileOn } = bench;
      const { sessionId, promptId } = await submit();
      const script = `trap "" TERM; echo half > half.txt
        setsid sh -c 'trap "" TERM HUP; while :; do sleep 0.05; done' & echo begun; while :; do sleep 0.05; done`;
      const running = run(promptId, depsFor(agentOf(script)));
      await says(promptId, "begun");
      const sandboxId = (await sessionRow(sessionId))?.sbxConfig?.id ?? "";
      await cancel(sessionId, promptId);
      await running;
      expect(await promptRow(promptId)).toMatchObject({
        status: "Cancelled",
        error: "The run was cancelled.",
      });
      const row = await sessionRow(sessionId);
      expect(row).toMatchObject({ inboxStatus: "Cancelled", cancellationStatus: "Cancelled" });
      expect(await fileOn(row?.branch, "half.txt")).toBe("half\n");
      expect(await Bun.$`grep -lsz ${`${MARKER}=${sandboxId}`} /proc/[0-9]*/environ`.nothrow().text()).toBe(
        "",
      );
    },
    LONG,
  );

  test(
    "cancelled before it started: it never starts; a follow-up runs",
    async () => {
      const { database, depsFor, submit, claim, run, promptRow, sessionRow, textsOf, cancel } = bench;
      const { sessionId, promptId } = await submit();
      const claimed = await claim(promptId);
      await cancel(sessionId, promptId);
      await runClaimed(depsFor(agentOf("echo started")), { ...claimed, cancelRequested: true }, never);
      expect(await textsOf(promptId)).toEqual(["The run was cancelled."]);
      expect(await promptRow(promptId)).toMatchObject({ status: "Cancelled" });
      const { id: next } = await database.orm.transaction((tx) =>
        addPrompt(tx, {
          userId: "alice",
          sessionId,
          data: "Again",
          text: "Again",
          priority: 0,
          maxUnfinished: 9,
        }),
      );
      await run(next, depsFor(agentOf("cat")));
      expect(await promptRow(next)).toMatchObject({ status: "Completed" });
      expect(await sessionRow(sessionId)).toMatchObject({
        inboxStatus: "Completed",
        cancellationStatus: null,
      });
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
