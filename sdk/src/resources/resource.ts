import { APIPromise } from "../api-promise.js";
import type { Core, CreateOptions, RequestOptions } from "../core.js";
import { PromptBackendError } from "../errors.js";
import type { PromptBackendApi } from "../generated/sdk.gen.js";
import { Page, PagePromise } from "../page.js";

/** What a generated method takes beside its parameters. */
interface CallInit {
  headers: Record<string, string>;
  signal: AbortSignal | undefined;
  fetch: typeof fetch;
}

/** Without a limit the service sends the whole list at once. */
export const PAGE = { limit: 100 };

/** Gives the generated methods names and results as people expect them. */
export abstract class Resource {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  protected get core(): Core {
    return this.#core;
  }

  protected get api(): PromptBackendApi {
    return this.#core.api;
  }

  /** Calls a generated method. @param pick the result that is in the body of the reply; by default all of it. */
  protected request<Data>(
    options: CreateOptions | undefined,
    call: (init: CallInit) => Promise<{ data: Data }>,
  ): APIPromise<Data>;
  protected request<Data, Result>(
    options: CreateOptions | undefined,
    call: (init: CallInit) => Promise<{ data: Data }>,
    pick: (data: Data) => Result,
  ): APIPromise<Result>;
  protected request(
    options: CreateOptions | undefined,
    call: (init: CallInit) => Promise<{ data: unknown }>,
    pick: (data: unknown) => unknown = (data) => data,
  ): APIPromise<unknown> {
    return new APIPromise(this.#perform(options, call, pick));
  }

  /** Calls a generated method that returns a page. @param itemsOf the list in the body of the reply. */
  protected requestPage<Query extends object, Data extends object, Item>(
    options: RequestOptions | undefined,
    query: Query,
    call: (query: Query, init: CallInit) => Promise<{ data: Data }>,
    itemsOf: (data: Data) => Item[],
  ): PagePromise<Item> {
    const load = (cursor: string) => this.requestPage(options, { ...query, cursor }, call, itemsOf);
    const pageOf = (data: Data): Page<Item> => {
      const { next_cursor = null } = data as { next_cursor?: string | null };
      return new Page(itemsOf(data), next_cursor, load);
    };
    return new PagePromise(this.#perform(options, (init) => call(query, init), pageOf));
  }

  async #perform<Data, Result>(
    { signal, timeout, maxRetries, headers, idempotencyKey }: CreateOptions = {},
    call: (init: CallInit) => Promise<{ data: Data }>,
    pick: (data: Data) => Result,
  ): Promise<{ data: Result; response: Response }> {
    let response: Response | undefined;
    const { data } = await call({
      headers: { ...headers, ...(idempotencyKey !== undefined && { "idempotency-key": idempotencyKey }) },
      signal,
      fetch: async (input) => {
        response = await this.#core.send(input as Request, { timeout, maxRetries });
        // The generated method reads the body of the one that it gets.
        return response.clone();
      },
    });
    if (!response) throw new PromptBackendError("The generated client sent nothing.");
    return { data: pick(data), response };
  }
}

/** An id as part of a path: an empty one would be the address of the whole collection. */
export function checkId(id: string): string {
  if (typeof id !== "string" || /^\.{0,2}$/.test(id))
    throw new TypeError(`id: ${JSON.stringify(id)} is not an id.`);
  return id;
}
