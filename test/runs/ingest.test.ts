import { expect, test } from "bun:test";
import type { AgentEvent, AgentReader } from "../../src/agents/agent.ts";
import { ingest } from "../../src/runs/ingest.ts";
import type { Limit } from "../../src/runs/limits.ts";
import { until } from "../harness/until.ts";

const reader: AgentReader = {
  read: (line) => (line === "skip" ? undefined : { type: "assistant", line }),
  hasResult: () => false,
  identity: () => ({}),
  verdict: () => ({ ok: true, summary: "", usage: {} }),
};

const noLimits = {
  limits: { maxEvents: 1_000_000, maxStoredBytes: 1e9 },
  onLimit: (limit: Limit) => {
    throw new Error(limit.reason);
  },
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
    lines: () => linesOf([...lines, "skip"]),
    reader,
    ...noLimits,
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
    lines: async function* () {
      yield { line: "first", end: 6 };
      await gate.promise;
    },
    reader,
    ...noLimits,
    stored: 0,
    write: async (events) => void written.push(...events),
  });
  await until(() => written.length === 1, { what: "the first line to be written" });
  gate.resolve();
  await done;
});

test("whatever comes during a write is the next one, however long that takes", async () => {
  const gate = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const batches: unknown[][] = [];
  await ingest({
    lines: async function* () {
      yield { line: "first", end: 1 };
      await begun.promise;
      for (let end = 2; end < 5; end += 1) {
        yield { line: String(end), end };
        // Longer than any batch waits.
        await Bun.sleep(60);
      }
      gate.resolve();
    },
    reader,
    ...noLimits,
    stored: 0,
    async write(events) {
      batches.push(events.map((event) => event["line"]));
      begun.resolve();
      await gate.promise;
    },
  });
  expect(batches).toEqual([["first"], ["2", "3", "4"]]);
});

test("a failed write stops the reading, and the caller gets its error", async () => {
  let writes = 0;
  const failing = ingest({
    lines: () => linesOf(Array.from({ length: 1_000 }, String)),
    reader,
    ...noLimits,
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
    lines: () => linesOf(["a", "b", "c"]),
    reader: {
      ...reader,
      read: (line) => {
        read.push(line);
        return reader.read(line);
      },
    },
    ...noLimits,
    stored: 2,
    async write(events, progress) {
      expect(progress).toEqual({ from: 2, to: 3 });
      written.push(...events.map((event) => event["line"]));
    },
  });
  expect(read).toEqual(["a", "b", "c"]);
  expect(written).toEqual(["c"]);
});

/** Prints every line as plain text. */
const textReader: AgentReader = { ...reader, read: (line) => line };
const textIn = (event: AgentEvent) =>
  (event["message"] as { content: { text: string }[] } | undefined)?.content[0]?.text;

/** Ingests lines, and collects what is stored. */
async function collect(
  lines: readonly string[],
  more: { reader?: AgentReader; stored?: number; maxEvents?: number; maxStoredBytes?: number } = {},
) {
  const { stored = 0, maxEvents = 1_000_000, maxStoredBytes = 1e9 } = more;
  const events: AgentEvent[] = [];
  const limits: string[] = [];
  let offset = stored;
  await ingest({
    lines: () => linesOf(lines),
    reader: more.reader ?? reader,
    stored,
    limits: { maxEvents, maxStoredBytes },
    onLimit: ({ name, reason }) => void limits.push(`${name}: ${reason}`),
    async write(batch, { from, to }) {
      expect(from).toBe(offset);
      offset = to;
      events.push(...batch);
    },
  });
  return { events, limits, offset, texts: events.map(textIn) };
}

test("lines of plain text become one event, with the empty lines between them, and events part them", async () => {
  const mixed: AgentReader = { ...reader, read: (line) => (line === "E" ? { type: "result" } : line) };
  const { events, texts } = await collect(["", "a", "", "b", "", "E", "c"], { reader: mixed });
  expect(texts).toEqual(["a\n\nb", undefined, "c"]);
  expect(events[1]).toEqual({ type: "result" });
});

test("`yes a` becomes a few events of 64 KiB instead of one for every line", async () => {
  const { texts } = await collect(Array(400_000).fill("a"), { reader: textReader });
  expect(texts.length).toBeLessThan(20);
  for (const text of texts) expect(text?.length).toBeLessThanOrEqual(64 * 1024);
  expect(texts.join("\n").split("\n")).toHaveLength(400_000);
});

test("more events than RUN_MAX_EVENTS end the run; the rest is read and not stored", async () => {
  const lines = Array.from({ length: 1_000 }, String);
  const { events, limits, offset } = await collect(lines, { maxEvents: 500 });
  expect(events.map((one) => one["line"])).toEqual(lines.slice(0, 500));
  expect(limits).toEqual([
    "events: The run was stopped: the agent printed more than 500 events (RUN_MAX_EVENTS).",
  ]);
  // A takeover has nothing to store either.
  expect(offset).toBe(1_000);
});

test("after a limit only the line of the result is parsed: a gigabyte of short lines took minutes and all memory", async () => {
  const rest = Array<string>(10_000).fill('{"type":"system"}');
  const result = '{"type": "result"}';
  let parsed: string[] = [];
  const counting: AgentReader = {
    ...reader,
    read(line) {
      parsed.push(line);
      return reader.read(line);
    },
  };
  const { offset, events } = await collect([...rest, result, ...rest], {
    reader: counting,
    maxEvents: 500,
  });
  expect(events).toHaveLength(500);
  expect(parsed.length).toBeLessThan(1_000);
  expect(parsed.at(-1)).toBe(result);
  expect(offset).toBe(20_001);
  // An adoption reads all of it again.
  parsed = [];
  await collect([...rest, result], { reader: counting, maxEvents: 500, stored: 10_000 });
  expect(parsed.length).toBeLessThan(1_000);
});

test("more bytes than RUN_MAX_STORED_MB end the run, by what is stored and not by what is printed", async () => {
  const lines = Array<string>(100).fill("x".repeat(100_000));
  const { limits, events } = await collect(lines, { maxStoredBytes: 4 * 1024 ** 2 });
  expect(limits).toEqual([
    "stored: The run was stopped: the agent's events have more than 4 MB (RUN_MAX_STORED_MB).",
  ]);
  expect(JSON.stringify(events).length).toBeLessThanOrEqual(4 * 1024 ** 2);
  const trimming: AgentReader = { ...reader, read: () => ({ type: "user", tool_use_result: "[trimmed]" }) };
  expect((await collect(lines, { reader: trimming, maxStoredBytes: 4 * 1024 ** 2 })).limits).toEqual([]);
});

test("what an earlier runner has stored counts for the limits", async () => {
  const lines = Array.from({ length: 1_000 }, String);
  const { events, limits } = await collect(lines, { stored: 400, maxEvents: 500 });
  expect(events.map((one) => one["line"])).toEqual(lines.slice(400, 500));
  expect(limits).toHaveLength(1);
  expect((await collect(lines, { stored: 400, maxEvents: 1_000 })).events).toHaveLength(600);
});

// `yes '{}'` has no events, or one text; each of a hundred million lines was parsed all the same.
test.each([
  ["dropped", { ...reader, read: () => undefined }],
  ["taken as text", textReader],
])(
  "objects that are no events, %s, end the run when there are ten times as many as it may have events",
  async (_, reading) => {
    const within = await collect(Array(1_000).fill("{}"), { reader: reading, maxEvents: 100 });
    expect(within.limits).toEqual([]);
    const { limits, offset } = await collect(Array(5_000).fill(" {}"), { reader: reading, maxEvents: 100 });
    expect(limits).toEqual([
      "events: The run was stopped: the agent printed more than 100 events (RUN_MAX_EVENTS).",
    ]);
    expect(offset).toBe(5_000);
  },
);
