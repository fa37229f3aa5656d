import { expect, test } from "bun:test";
import type { AgentEvent, AgentReader } from "../../src/agents/agent.ts";
import { ingest } from "../../src/runs/ingest.ts";
import { until } from "../harness/until.ts";

const reader: AgentReader = {
  read: (line) => (line === "skip" ? undefined : { type: "assistant", line }),
  hasResult: () => false,
  verdict: () => ({ ok: true, summary: "", usage: {} }),
};

/** Lines with their end offsets, as if each had one byte. */
async function* linesOf(lines: readonly string[]) {
  for (const [index, line] of lines.entries()) yield { line, end: index + 1 };
}

test("every event is written once, in order, in batches, one write at a time", async () => {
  const lines = Array.from({ length: 1_050 }, (_, index) => String(index));
  const batches: number[] = [];
  const written: unknown[] = [];
  let writing = 0;
  let offset = 0;
  await ingest({
    lines: linesOf([...lines, "skip"]),
    reader,
    stored: 0,
    async write(events, { from, to }) {
      expect(++writing).toBe(1);
      expect(from).toBe(offset);
      offset = to;
      await Bun.sleep(1);
      written.push(...events.map((event) => event["line"]));
      batches.push(events.length);
      writing -= 1;
    },
  });
  expect(written).toEqual(lines);
  // The skipped line counts as progress: no takeover reads it as new.
  expect(offset).toBe(1_051);
  expect(Math.max(...batches)).toBe(200);
});

test("a single line is written while the agent prints nothing more", async () => {
  const gate = Promise.withResolvers<void>();
  const written: AgentEvent[] = [];
  const done = ingest({
    lines: (async function* () {
      yield { line: "first", end: 6 };
      await gate.promise;
    })(),
    reader,
    stored: 0,
    write: async (events) => void written.push(...events),
  });
  await until(() => written.length === 1, { what: "the first line to be written" });
  gate.resolve();
  await done;
});

test("a failed write stops the reading, and the caller gets its error", async () => {
  let writes = 0;
  const failing = ingest({
    lines: linesOf(Array.from({ length: 1_000 }, String)),
    reader,
    stored: 0,
    write: async () => {
      writes += 1;
      throw new Error("the database said no");
    },
  });
  await expect(failing).rejects.toThrow("the database said no");
  expect(writes).toBe(1);
});

test("a takeover reads all lines, and stores only the new ones", async () => {
  const read: string[] = [];
  const written: unknown[] = [];
  await ingest({
    lines: linesOf(["a", "b", "c"]),
    reader: {
      ...reader,
      read: (line) => {
        read.push(line);
        return reader.read(line);
      },
    },
    stored: 2,
    async write(events, progress) {
      expect(progress).toEqual({ from: 2, to: 3 });
      written.push(...events.map((event) => event["line"]));
    },
  });
  expect(read).toEqual(["a", "b", "c"]);
  expect(written).toEqual(["c"]);
});
