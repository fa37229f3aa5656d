import type { MessageDto, SessionEvent, UserEvent } from "../../../sdk/src/index.ts";
import { isAway } from "../queries.ts";
import { PromptRows } from "./rows/prompt-rows.ts";
import type { SaidRow } from "./rows/row.ts";

/** Where a conversation is read. */
export interface ConversationSource {
  /** The messages of a prompt, in order: the fastest way to read many. */
  ofPrompt(promptId: string, signal: AbortSignal): AsyncIterable<MessageDto>;
  /** The session's messages after a `seq`, in order, and then the session itself: by then all that existed has come. */
  after(seq: number, signal: AbortSignal): AsyncIterable<SessionEvent>;
}

export interface ConversationSnapshot {
  /** The rows of what was said, by prompt. */
  said: ReadonlyMap<string, readonly SaidRow[]>;
  /** What existed at the start has been read. */
  loaded: boolean;
  /** Why no more can be read. */
  failure: unknown;
}

/** Milliseconds between two updates of the page: one frame; while the past is read, less often. */
const FRAME_MS = 16;
const WHILE_LOADING_MS = 250;
/** While the service is away, reading is tried again after this time. */
const RETRY_MS = 1_000;

/**
 * The conversation of one session, live: what has been said is read once, and joined by `seq` with what the user's stream
 * tells. Each message counts once, in order; where one is missing, reading starts again after the last one that is known.
 * For React's useSyncExternalStore.
 */
export class Conversation {
  readonly #sessionId: string;
  readonly #source: ConversationSource;
  readonly #prompts = new Map<string, PromptRows>();
  /** All messages up to this `seq` are known, but those that were deleted. Undefined: the past has not been read. */
  #last: number | undefined;
  /** Told by the stream while reading. */
  #later: MessageDto[] = [];
  #reading = false;
  #readAgain = false;
  #start: { promptIds: readonly string[]; signal: AbortSignal } | undefined;
  #snapshot: ConversationSnapshot = { said: new Map(), loaded: false, failure: undefined };
  #failure: unknown;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(sessionId: string, source: ConversationSource) {
    this.#sessionId = sessionId;
    this.#source = source;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly getSnapshot = (): ConversationSnapshot => this.#snapshot;

  /**
   * Reads what is missing, and goes on to do so until the signal is aborted.
   * @param promptIds those that exist, in their order. The newest is read first, since it is seen first.
   */
  start(promptIds: readonly string[], signal: AbortSignal): void {
    this.#start = { promptIds, signal };
    this.#reading = false;
    this.#read();
  }

  /** Takes an event of the user's stream. */
  readonly apply = (event: UserEvent): void => {
    // The stream was opened anew, perhaps by another tab, and may have missed what came before.
    if (event.event === "ready") this.#read();
    if (event.event !== "message" || event.data.session_id !== this.#sessionId) return;
    if (this.#reading) this.#later.push(event.data);
    else if (this.#isNext(event.data)) this.#accept(event.data);
    // Told is stored: reading what is missing leads to it, unless it has been deleted since.
    else this.#read();
  };

  /** One reading at a time: another one that is wanted meanwhile follows. */
  #read(): void {
    if (!this.#start || this.#start.signal.aborted) return;
    this.#readAgain = this.#reading;
    if (this.#reading) return;
    this.#reading = true;
    const { promptIds, signal } = this.#start;
    const reading =
      this.#last === undefined ? this.#readPast(promptIds, signal) : this.#readAfter(this.#last, signal);
    void reading.then(
      () => this.#ended(signal, undefined),
      (error: unknown) => this.#ended(signal, error),
    );
  }

  async #readPast(promptIds: readonly string[], signal: AbortSignal): Promise<void> {
    const seqs: number[] = [];
    for (const promptId of promptIds.toReversed()) {
      for await (const message of this.#source.ofPrompt(promptId, signal)) {
        this.#add(message);
        seqs.push(message.seq);
      }
      if (signal.aborted) return;
    }
    this.#last = endOfFirstRun(seqs);
    // Of prompts that began since they were listed or read, messages are missing which the stream may have told before.
    this.#readAgain = true;
  }

  async #readAfter(seq: number, signal: AbortSignal): Promise<void> {
    // The stream goes on for ever: this ends it.
    const end = new AbortController();
    try {
      for await (const event of this.#source.after(seq, AbortSignal.any([signal, end.signal]))) {
        if (signal.aborted || event.event !== "message") break;
        this.#accept(event.data);
      }
    } finally {
      end.abort();
    }
  }

  #ended(signal: AbortSignal, failure: unknown): void {
    if (signal.aborted) return;
    this.#reading = false;
    if (isAway(failure)) setTimeout(() => this.#read(), RETRY_MS);
    else this.#failure = failure;
    const later = this.#later.sort((a, b) => a.seq - b.seq);
    this.#later = [];
    for (const message of later) {
      if (this.#isNext(message)) this.#accept(message);
      else this.#readAgain = true;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#changed();
    if (failure === undefined && this.#readAgain) this.#read();
  }

  #isNext(message: MessageDto): boolean {
    return this.#last !== undefined && message.seq <= this.#last + 1;
  }

  #accept(message: MessageDto): void {
    this.#last = Math.max(this.#last ?? 0, message.seq);
    this.#add(message);
  }

  /** A message that is known already changes nothing. */
  #add(message: MessageDto): void {
    const prompt = this.#prompts.get(message.prompt_id) ?? new PromptRows();
    this.#prompts.set(message.prompt_id, prompt);
    if (message.seq <= prompt.last) return;
    prompt.add(message);
    this.#changed();
  }

  /** Many come at once; each screen shows them together. */
  #changed(): void {
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        for (const prompt of this.#prompts.values()) prompt.commit();
        const said = new Map([...this.#prompts].map(([id, { rows }]) => [id, rows]));
        this.#snapshot = { said, loaded: this.#last !== undefined, failure: this.#failure };
        for (const listener of this.#listeners) listener();
      },
      this.#last === undefined ? WHILE_LOADING_MS : FRAME_MS,
    );
  }
}

/** The highest number that is reached from the lowest one without a gap: the oldest messages may have been deleted. */
function endOfFirstRun(seqs: number[]): number {
  seqs.sort((a, b) => a - b);
  const gap = seqs.findIndex((seq, index) => index > 0 && seq !== (seqs[index - 1] ?? 0) + 1);
  return (gap === -1 ? seqs.at(-1) : seqs[gap - 1]) ?? 0;
}
