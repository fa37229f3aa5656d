import { APIPromise } from "./api-promise.js";
import { PromptBackendError } from "./errors.js";

/** One page of a list; iterating over it goes on through the pages after it. */
export class Page<Item> implements AsyncIterable<Item> {
  /** What is on this page. */
  readonly data: Item[];
  /** To continue later, pass it as `cursor`; null on the last page. */
  readonly nextCursor: string | null;
  readonly #load: (cursor: string) => PagePromise<Item>;

  constructor(data: Item[], nextCursor: string | null, load: (cursor: string) => PagePromise<Item>) {
    this.data = data;
    this.nextCursor = nextCursor;
    this.#load = load;
  }

  hasNextPage(): boolean {
    return this.nextCursor !== null;
  }

  getNextPage(): PagePromise<Item> {
    if (this.nextCursor === null)
      throw new PromptBackendError("This is the last page; check hasNextPage() first.");
    return this.#load(this.nextCursor);
  }

  async *iterPages(): AsyncGenerator<Page<Item>, void, undefined> {
    let page: Page<Item> = this;
    yield page;
    while (page.hasNextPage()) {
      page = await page.getNextPage();
      yield page;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    for await (const page of this.iterPages()) yield* page.data;
  }
}

/** Resolves with the first page. `for await` goes through the items of all pages. */
export class PagePromise<Item> extends APIPromise<Page<Item>> implements AsyncIterable<Item> {
  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    yield* await this;
  }
}
