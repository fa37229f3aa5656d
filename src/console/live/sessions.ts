import type { Page, PromptBackend, SessionDto, UserEvent } from "../../../sdk/src/index.ts";

/** The first page is what fits on a screen, and comes fast; the rest in large ones. */
export const FIRST_PAGE = 100;
const PAGE = 500;
const FRAME_MS = 16;
/** While thousands come in, the page shows them in steps: it has better things to do. */
const WHILE_LOADING_MS = 250;

export interface SessionsSnapshot {
  sessions: ReadonlyMap<string, SessionDto>;
  /** Whether all of them are known. */
  complete: boolean;
  /** Whether the first of them are. */
  loaded: boolean;
}

/** The user's sessions as they are now: read once, then kept up to date by events. For React's useSyncExternalStore. */
export class LiveSessions {
  #sessions = new Map<string, SessionDto>();
  /** Told by an event: a page that was requested before is older. */
  readonly #told = new Set<string>();
  /** What the service has told, and what is shown instead until it tells more. */
  readonly #expected = new Map<string, { told: SessionDto; changes: Set<Partial<SessionDto>> }>();
  #loaded = false;
  #complete = false;
  #snapshot: SessionsSnapshot = { sessions: this.#sessions, complete: false, loaded: false };
  #scheduled = false;
  readonly #first = Promise.withResolvers<void>();
  /** Resolves once the first of them are shown. */
  readonly first = this.#first.promise;
  readonly #idle: () => Promise<void>;
  readonly #listeners = new Set<() => void>();

  /** @param idle resolves when the page has nothing to do: the first sessions are on the screen before the others come. */
  constructor(idle: () => Promise<void>) {
    this.#idle = idle;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly getSnapshot = (): SessionsSnapshot => this.#snapshot;

  /** Reads the sessions, the newest first, until the stream has told all of them: only one tab reads that. */
  async load(client: PromptBackend, signal: AbortSignal): Promise<void> {
    await this.#read(client, signal, () => this.#complete);
    this.#complete = true;
    this.#changed();
  }

  /** Reads all of them again, and forgets those that are gone: a stream that was away does not tell of deletions. */
  async reload(client: PromptBackend, signal: AbortSignal): Promise<void> {
    this.#told.clear();
    const there = await this.#read(client, signal, () => false);
    for (const id of this.#sessions.keys())
      if (!there.has(id) && !this.#told.has(id)) {
        this.#expected.delete(id);
        this.#sessions.delete(id);
      }
    this.#changed();
  }

  /** @returns the ids of what it has read. */
  async #read(client: PromptBackend, signal: AbortSignal, isEnough: () => boolean): Promise<Set<string>> {
    const there = new Set<string>();
    let cursor: string | null | undefined;
    while (cursor !== null && !isEnough()) {
      const query = cursor === undefined ? { limit: FIRST_PAGE } : { limit: PAGE, cursor };
      const page: Page<SessionDto> = await client.sessions.list(query, { signal });
      for (const session of page.data) {
        there.add(session.id);
        if (!this.#told.has(session.id)) this.#set(session);
      }
      cursor = page.nextCursor;
      const isFirst = !this.#loaded;
      this.#loaded = true;
      this.#changed();
      if (isFirst) await this.#idle();
      this.#first.resolve();
    }
    return there;
  }

  apply(event: UserEvent): void {
    if (event.event === "session") {
      this.#told.add(event.data.id);
      this.#set(event.data);
    } else if (event.event === "deleted") {
      this.#told.add(event.data.id);
      this.#expected.delete(event.data.id);
      this.#sessions.delete(event.data.id);
    } else if (event.event === "ready") {
      // Another tab may have begun to read the stream before this one listened: then some of them are not known here.
      this.#complete ||= this.#sessions.size >= event.data.sessions;
    } else return;
    this.#changed();
  }

  /** Shows at once what the server will tell soon. @returns what takes it back, unless the server has told more since. */
  expect(id: string, change: Partial<SessionDto>): () => void {
    const session = this.#sessions.get(id);
    if (!session) return () => undefined;
    const expected = this.#expected.get(id) ?? { told: session, changes: new Set() };
    this.#expected.set(id, expected);
    const show = () => {
      this.#sessions.set(id, Object.assign({}, expected.told, ...expected.changes));
      this.#changed();
    };
    expected.changes.add(change);
    show();
    return () => {
      if (this.#expected.get(id) !== expected) return;
      expected.changes.delete(change);
      show();
    };
  }

  #set(session: SessionDto): void {
    this.#expected.delete(session.id);
    this.#sessions.set(session.id, session);
  }

  /** Many events come at once; each screen shows them together. */
  #changed(): void {
    // The first of them are waited for.
    if (this.#loaded && !this.#snapshot.loaded) {
      this.#tell();
      return;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    const pause = this.#loaded && !this.#complete ? WHILE_LOADING_MS : FRAME_MS;
    // Not requestAnimationFrame: a hidden page has none, and its title counts what is new.
    setTimeout(() => {
      this.#scheduled = false;
      this.#tell();
    }, pause);
  }

  #tell(): void {
    this.#sessions = new Map(this.#sessions);
    this.#snapshot = { sessions: this.#sessions, complete: this.#complete, loaded: this.#loaded };
    for (const listener of this.#listeners) listener();
  }
}
