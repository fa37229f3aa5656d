import type { AgentEvent, AgentReader } from "../agents/agent.ts";
import type { RunLimits } from "../config/config.ts";
import type { JournalLine, ReadingByRun } from "../sandboxes/process/journal.ts";
import { MIB } from "../shared/units.ts";
import type { Progress } from "./append-store.ts";
import { createEventBatch } from "./event-batch.ts";
import type { Limit } from "./limits.ts";

/** A batch is written when it has this many events, this many bytes, or its age. */
const BATCH_EVENTS = 200;
const BATCH_BYTES = 64_000;
/** The age of a batch of text alone, whose lines become one event. */
const TEXT_AGE_MS = 50;
/**
 * The age of one with other events is what the last write took, between these: a client sees an event as soon as the database
 * lets it, and where many runs write, their batches grow instead of their number.
 */
const [MIN_AGE_MS, MAX_AGE_MS] = [1, 50];
/** Lines that begin as JSON objects and are no events, for each event that a run may have: reading them costs time, too. */
const OTHER_OBJECTS_PER_EVENT = 10;
/** A line that has the agent's result matches; others may. Parsing a gigabyte of short lines would take minutes. */
const MAY_BE_RESULT = /"type"\s*:\s*"result"/;

/**
 * Stores the events in an agent's output: in order, in batches, one write at a time. The next batch fills during a write, even
 * beyond its age; when it is full, reading waits. Lines of plain text become one event a batch. At a limit nothing more is stored; only the
 * agent's result is looked for then, at the end of what it printed.
 * @param options.lines all lines from the beginning of the output, since the reader needs them all.
 * @param options.stored bytes of the output whose events are stored already. They count for the limits.
 * @param options.onLimit called at most once.
 * @param options.write stores a batch together with its end in the output. If it rejects, so does `ingest`.
 */
export async function ingest(options: {
  lines: (byRun: ReadingByRun) => AsyncIterable<JournalLine>;
  reader: AgentReader;
  stored: number;
  limits: Pick<RunLimits, "maxEvents" | "maxStoredBytes">;
  onLimit: (limit: Limit) => void;
  write: (events: AgentEvent[], progress: Progress) => Promise<void>;
}): Promise<void> {
  const { reader, limits, onLimit, write } = options;
  const batch = createEventBatch();
  /** Of the run, in batches that were taken. */
  const total = { events: 0, bytes: 0, otherObjects: 0 };
  let limit: Limit | undefined;
  let from = options.stored;
  let to = from;
  let writing: Promise<void> = Promise.resolve();
  let failure: unknown;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let writes = 0;
  let tookMs = 0;
  /** The batch has an event that is not text. */
  let hasEvent = false;
  /** The batch has come of age, during a write. */
  let due = false;

  /** Empties the batch. @returns what it had, up to the limits. */
  const take = (): AgentEvent[] => {
    total.bytes += batch.bytes();
    const room = Math.max(0, limits.maxEvents - total.events);
    const events = batch.take();
    total.events += events.length;
    if (limit) return [];
    limit = reached(total, limits);
    if (limit) onLimit(limit);
    return total.bytes > limits.maxStoredBytes ? [] : events.slice(0, room);
  };
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    due = false;
    hasEvent = false;
    const events = take();
    const progress = { from, to };
    from = to;
    writes += 1;
    writing = writing
      .then(async () => {
        if (failure !== undefined || progress.from === progress.to) return;
        const began = performance.now();
        await write(events, progress);
        tookMs = performance.now() - began;
      })
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => {
        writes -= 1;
        if (due && writes === 0) void flush();
      });
    return writing;
  };
  const onAge = () => {
    timer = undefined;
    due = true;
    if (writes === 0) void flush();
  };
  const scheduleFlush = (isEvent: boolean) => {
    if (isEvent && !hasEvent) {
      // It does not wait for more text any longer.
      clearTimeout(timer);
      timer = undefined;
      hasEvent = true;
    }
    timer ??= setTimeout(onAge, isEvent ? Math.min(Math.max(tookMs, MIN_AGE_MS), MAX_AGE_MS) : TEXT_AGE_MS);
  };

  const lines = options.lines({ joinTextFrom: options.stored, onlyEnd: () => limit !== undefined });
  try {
    for await (const { line, end } of lines) {
      if (failure !== undefined) break;
      const read = limit && !MAY_BE_RESULT.test(line) ? undefined : reader.read(line);
      if (!limit && typeof read !== "object" && line.trimStart().startsWith("{")) total.otherObjects += 1;
      const over = !limit && reached(total, limits) !== undefined;
      const isNew = end > options.stored;
      if (isNew && to === options.stored) take();
      if (isNew) to = end;
      if (limit || (read === undefined && !over)) continue;
      if (read !== undefined) batch.add(read, line);
      const full = over || batch.events() >= BATCH_EVENTS || batch.bytes() >= BATCH_BYTES;
      if (!isNew) {
        if (full) take();
      } else if (full) await flush();
      else if (!due) scheduleFlush(typeof read === "object");
    }
  } finally {
    await flush();
  }
  if (failure !== undefined) throw failure;
}

function reached(
  total: { events: number; bytes: number; otherObjects: number },
  { maxEvents, maxStoredBytes }: Pick<RunLimits, "maxEvents" | "maxStoredBytes">,
): Limit | undefined {
  if (total.events > maxEvents || total.otherObjects > OTHER_OBJECTS_PER_EVENT * maxEvents)
    return {
      name: "events",
      reason: `The run was stopped: the agent printed more than ${maxEvents} events (RUN_MAX_EVENTS).`,
    };
  if (total.bytes > maxStoredBytes)
    return {
      name: "stored",
      reason: `The run was stopped: the agent's events have more than ${maxStoredBytes / MIB} MB (RUN_MAX_STORED_MB).`,
    };
  return undefined;
}
