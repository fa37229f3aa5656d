import type { MessageDto, SessionEvent, UserEvent } from "../../../sdk/src/index.ts";
import { PromptRows } from "./rows/prompt-rows.ts";
import type { SaidRow } from "./rows/row.ts";

/** Reads a session's messages after a `seq`, and then the session itself: by then all that existed has come. */
export type ReadAfter = (seq: number, signal: AbortSignal) => AsyncIterable<SessionEvent>;

export interface ConversationSnapshot {
  /** The rows of what was said, by prompt. */
  said: ReadonlyMap<string, readonly SaidRow[]>;
  /** What existed when the page was opened has been read. */
  loaded: boolean;
  /** Why no more can be read. */
  failure: unknown;
}

/** Milliseconds between two updates of the page: one frame; while the past is read, less often. */
const FRAME_MS = 16;
const WHILE_LOADING_MS = 250;

/**
 * The conversation of one session, live: what has been said is read once, and joined by `seq` with what the user's stream
 * tells. Each message counts once, in order; where one is missing, reading starts again after the last one that is known.
 * For React's useSyncExternalStore.
 */
export class Conversation {
  readonly #sessionId: string;
  readonly #readAfter: ReadAfter;
  readonly #prompts = new Map<string, PromptRows>();
  /** All messages up to this `seq` are known, but those that were deleted. */
  #last = 0;
  /** Told by the stream, behind a gap or while reading. */
  #later: MessageDto[] = [];
  #reading = false;
  #readAgain = false;
  #signal: AbortSignal | undefined;
  #snapshot: ConversationSnapshot = { said: new Map(), loaded: false, failure: undefined };
  #loaded = false;
  #failure: unknown;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(sessionId: string, readAfter: ReadAfter) {
    this.#sessionId = sessionId;
    this.#readAfter = readAfter;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly getSnapshot = (): ConversationSnapshot => this.#snapshot;

  /** Reads what is missing, and goes on to do so until the signal is aborted. */
  start(signal: AbortSignal): void {
    this.#signal = signal;
    this.#reading = false;
    this.#catchUp();
  }

  /** Takes an event of the user's stream. */
  readonly apply = (event: UserEvent): void => {
    // The stream was opened anew, perhaps by another tab, which may have heard less than this one wants to know.
    if (event.event === "ready") this.#catchUp();
    if (event.event !== "message" || event.data.session_id !== this.#sessionId) return;
    if (event.data.seq <= this.#last) return;
    if (!this.#reading && event.data.seq === this.#last + 1) {
      this.#accept(event.data);
      return;
    }
    this.#later.push(event.data);
    if (!this.#reading) this.#catchUp();
  };

  #catchUp(): void {
    const signal = this.#signal;
    if (!signal || signal.aborted) return;
    this.#readAgain = this.#reading;
    if (this.#reading) return;
    this.#reading = true;
    void this.#read(signal).then(
      () => this.#ended(signal),
      (error: unknown) => {
        if (signal.aborted) return;
        this.#failure = error;
        this.#ended(signal);
      },
    );
  }

  async #read(signal: AbortSignal): Promise<void> {
    // The stream goes on for ever: this ends it.
    const end = new AbortController();
    try {
      for await (const event of this.#readAfter(this.#last, AbortSignal.any([signal, end.signal]))) {
        if (signal.aborted || event.event !== "message") break;
        if (event.data.seq > this.#last) this.#accept(event.data);
      }
      if (!signal.aborted) this.#failure = undefined;
    } finally {
      end.abort();
    }
  }

  #ended(signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#reading = false;
    this.#loaded = true;
    const later = this.#later.sort((a, b) => a.seq - b.seq);
    this.#later = [];
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const message of later) {
      if (message.seq === this.#last + 1) this.#accept(message);
      else if (message.seq > this.#last) this.#later.push(message);
    }
    this.#changed();
    // The one behind the gap is stored by now, so that reading again leads at least to it.
    if (this.#failure === undefined && (this.#readAgain || this.#later.length > 0)) this.#catchUp();
  }

  #accept(message: MessageDto): void {
    this.#last = message.seq;
    const prompt = this.#prompts.get(message.prompt_id) ?? new PromptRows();
    this.#prompts.set(message.prompt_id, prompt);
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
        this.#snapshot = { said, loaded: this.#loaded, failure: this.#failure };
        for (const listener of this.#listeners) listener();
      },
      this.#loaded ? FRAME_MS : WHILE_LOADING_MS,
    );
  }
}
