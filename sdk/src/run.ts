import type { CreateOptions } from "./core.js";
import { PromptBackendError } from "./errors.js";
import type { EventsOptions, SessionEvent } from "./events.js";
import type {
  CreateSessionWithPromptInput,
  CreateSessionWithPromptOutput,
  PromptDto,
  SessionDto,
} from "./generated/types.gen.js";
import type { Events } from "./resources/events.js";
import type { Prompts } from "./resources/prompts.js";
import type { Sessions } from "./resources/sessions.js";

export interface RunParams extends Omit<CreateSessionWithPromptInput, "messages"> {
  /** What the agent shall do. */
  prompt: string;
}

export interface RunOptions extends CreateOptions, Pick<EventsOptions, "idleTimeout" | "onReconnect"> {
  /** Called with each event. */
  onProgress?: ((event: SessionEvent) => void) | undefined;
}

/** A run ended, and there is nothing to review. */
export class RunFailedError extends PromptBackendError {
  override readonly name = "RunFailedError";

  constructor(
    readonly outcome: "failed" | "cancelled" | "deleted",
    /** Why, for people to read. */
    readonly reason: string,
    readonly sessionId: string,
    /** Undefined if the session was deleted. */
    readonly session: SessionDto | undefined,
    /** Undefined if the session was deleted. */
    readonly prompt: PromptDto | undefined,
  ) {
    super(`The run of session ${sessionId} ended as ${outcome}: ${reason}`);
  }
}

interface Resources {
  sessions: Sessions;
  prompts: Prompts;
  events: Events;
}

/**
 * A session that works. Resolves with the session, and its conversation, once it wants review; iterating over it yields
 * its events up to then. An aborted signal ends the waiting only: `pb.sessions.cancel` ends the work.
 */
export class SessionRun extends Promise<SessionDto> implements AsyncIterable<SessionEvent> {
  /** `then` and the like return ordinary promises. */
  static override get [Symbol.species]() {
    return Promise;
  }

  readonly #created: Promise<CreateSessionWithPromptOutput>;
  readonly #events: () => AsyncGenerator<SessionEvent, void, undefined>;

  constructor(resources: Resources, params: RunParams, options: RunOptions = {}) {
    const { prompt, ...target } = params;
    const created = resources.sessions.createWithPrompt(
      { ...target, messages: [{ content: prompt }] },
      options,
    );
    super((resolve, reject) => {
      finish(resources, created, options).then(resolve, reject);
    });
    this.#created = created;
    this.#events = async function* () {
      yield* eventsOfRun(resources.events, (await created).sessionId, options);
    };
  }

  /** The ids, as soon as the session exists. */
  get created(): Promise<CreateSessionWithPromptOutput> {
    // Whoever waits for the ids learns of a failed creation here, and need not wait for the run as well.
    this.#created.catch(() => void this.catch(() => undefined));
    return this.#created;
  }

  /** Each iteration follows the session on a connection of its own, from the first event. Throws if the run fails. */
  async *[Symbol.asyncIterator](): AsyncGenerator<SessionEvent, void, undefined> {
    // Whoever only iterates learns of a failure here.
    this.catch(() => undefined);
    yield* this.#events();
    await this;
  }
}

async function finish(
  resources: Resources,
  created: Promise<CreateSessionWithPromptOutput>,
  options: RunOptions,
): Promise<SessionDto> {
  const { sessions, prompts, events } = resources;
  const { sessionId, promptId } = await created;
  const calls = callOptions(options);
  for (;;) {
    for await (const event of eventsOfRun(events, sessionId, options)) {
      options.onProgress?.(event);
      if (event.event === "deleted")
        throw new RunFailedError("deleted", "The session was deleted.", sessionId, undefined, undefined);
    }
    options.signal?.throwIfAborted();
    const prompt = await prompts.retrieve(promptId, calls);
    // Somebody has retried it meanwhile.
    if (prompt.status === "Queued" || prompt.status === "Running") continue;
    const session = await sessions.retrieve(sessionId, calls);
    if (prompt.status === "Completed") return session;
    const [outcome, reason] =
      prompt.status === "Cancelled"
        ? (["cancelled", "It was cancelled."] as const)
        : (["failed", prompt.error] as const);
    throw new RunFailedError(outcome, reason ?? "The service gives no reason.", sessionId, session, prompt);
  }
}

/** The events of a session up to the one after which nothing is at work. */
async function* eventsOfRun(
  events: Events,
  sessionId: string,
  options: RunOptions,
): AsyncGenerator<SessionEvent, void, undefined> {
  const { signal, headers, idleTimeout, onReconnect } = options;
  for await (const event of events.session(sessionId, { signal, headers, idleTimeout, onReconnect })) {
    yield event;
    if (event.event === "session" && !isAtWork(event.data)) return;
  }
}

/** Not by `uiStatus`, by which an archived session is never at work. */
const isAtWork = ({ inboxStatus }: SessionDto) => inboxStatus === "Pending" || inboxStatus === "Processing";

/** The key belongs to the creation alone. */
const callOptions = ({ signal, timeout, maxRetries, headers }: RunOptions) => ({
  signal,
  timeout,
  maxRetries,
  headers,
});
