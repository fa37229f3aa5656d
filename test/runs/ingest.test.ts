import { expect, test } from "bun:test";
import type { AgentEvent, AgentReader } from "../../src/agents/agent.ts";
import { ingest } from "../../src/runs/ingest.ts";
import { until } from "../harness/until.ts";

const reader: AgentReader = {
  read: (line) => (line === "skip" ? undefined : { type: "assistant", line }),
  conclude: () => ({ ok: true, summary: "", usage: {} }),
};

async function* from(lines: readonly string[]) {
  yield* lines;
}

test("every event is written once, in order, in batches, with never two writes at a time", async () => {
  const lines = Array.from({ length: 1_050 }, (_, index) => String(index));
  const batches: number[] = [];
  const written: unknown[] = [];
  let writing = 0;
  await ingest({
    lines: from([...lines, "skip"]),
    reader,
    async write(events) {
      expect(++writing).toBe(1);
      await Bun.sleep(1);
      written.push(...events.map((event) => event["line"]));
      batches.push(events.length);
      writing -= 1;
    },
  });
  expect(written).toEqual(lines);
  expect(Math.max(...batches)).toBe(200);
});

test("a single line is written while the agent is still silent", async () => {
  const gate = Promise.withResolvers<void>();
  const written: AgentEvent[] = [];
  const done = ingest({
    lines: (async function* () {
      yield "first";
      await gate.promise;
    })(),
    reader,
    write: async (events) => void written.push(...events),
  });
  await until(() => written.length === 1, { what: "the first line to be written" });
  gate.resolve();
  await done;
});

test("a write that fails ends reading, and is what the caller sees", async () => {
  let writes = 0;
  const failing = ingest({
    lines: from(Array.from({ length: 1_000 }, String)),
    reader,
    write: async () => {
      writes += 1;
      throw new Error("the database said no");
    },
  });
  expect(failing).rejects.toThrow("the database said no");
  await failing.catch(() => undefined);
  expect(writes).toBe(1);
});
