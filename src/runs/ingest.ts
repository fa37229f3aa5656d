import type { AgentEvent, AgentReader } from "../agents/agent.ts";

/** A batch is written when it has so many events, or so many characters of output, or is so old. */
const BATCH_EVENTS = 200;
const BATCH_CHARS = 1_000_000;
const BATCH_AGE_MS = 50;

/**
 * Turns an agent's output into stored events: in order, in batches, one write at a time. While a write is under way
 * the next batch gathers; when that is full, reading waits, and so does the agent.
 * @param options.write stores a batch; when it rejects, so does this.
 */
export async function ingest(options: {
  lines: AsyncIterable<string>;
  reader: AgentReader;
  write: (events: AgentEvent[]) => Promise<void>;
}): Promise<void> {
  let batch: AgentEvent[] = [];
  let chars = 0;
  let writing: Promise<void> = Promise.resolve();
  let failure: unknown;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    const events = batch;
    batch = [];
    chars = 0;
    writing = writing
      .then(async () => {
        if (failure === undefined && events.length > 0) await options.write(events);
      })
      .catch((error: unknown) => {
        failure ??= error;
      });
    return writing;
  };

  try {
    for await (const line of options.lines) {
      if (failure !== undefined) break;
      const event = options.reader.read(line);
      if (event === undefined) continue;
      batch.push(event);
      chars += line.length;
      if (batch.length >= BATCH_EVENTS || chars >= BATCH_CHARS) await flush();
      else timer ??= setTimeout(flush, BATCH_AGE_MS);
    }
  } finally {
    await flush();
  }
  if (failure !== undefined) throw failure;
}
