import type { AgentEvent, AgentReader } from "../agents/agent.ts";
import type { JournalLine } from "../sandboxes/process/journal.ts";
import type { Progress } from "./writer.ts";

/** A batch is written when it has this many events, this many characters of output, or this age. */
const BATCH_EVENTS = 200;
const BATCH_CHARS = 1_000_000;
const BATCH_AGE_MS = 50;

/**
 * Stores the events in an agent's output: in order, in batches, one write at a time. The next batch fills during a write;
 * when it is full, reading waits.
 * @param options.lines all lines from the beginning of the output, since the reader needs them all.
 * @param options.stored bytes of the output whose events are stored already.
 * @param options.write stores a batch together with its end in the output. If it rejects, so does `ingest`.
 */
export async function ingest(options: {
  lines: AsyncIterable<JournalLine>;
  reader: AgentReader;
  stored: number;
  write: (events: AgentEvent[], progress: Progress) => Promise<void>;
}): Promise<void> {
  const { lines, reader, write } = options;
  let batch: AgentEvent[] = [];
  let chars = 0;
  let from = options.stored;
  let to = from;
  let writing: Promise<void> = Promise.resolve();
  let failure: unknown;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    const events = batch;
    const progress = { from, to };
    batch = [];
    chars = 0;
    from = to;
    writing = writing
      .then(async () => {
        if (failure === undefined && progress.from < progress.to) await write(events, progress);
      })
      .catch((error: unknown) => {
        failure ??= error;
      });
    return writing;
  };

  try {
    for await (const { line, end } of lines) {
      if (failure !== undefined) break;
      const event = reader.read(line);
      if (end <= options.stored) continue;
      to = end;
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
