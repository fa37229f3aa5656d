import type { APIPromise } from "../api-promise.js";
import type { RequestOptions } from "../core.js";
import type {
  AbandonDlqInput,
  AbandonDlqOutput,
  BulkDlqInput,
  BulkDlqOutput,
  DlqDto,
  HandlersDeadLetterQueueListDlqEntriesData,
  ResolveDlqInput,
  ResolveDlqOutput,
  RetryDlqEntriesInput,
  RetryDlqEntriesOutput,
  RetryDlqInput,
  RetryDlqOutput,
} from "../generated/types.gen.js";
import type { PagePromise } from "../page.js";
import { checkId, Resource } from "./resource.js";

export type DeadLetterListParams = NonNullable<HandlersDeadLetterQueueListDlqEntriesData["query"]>;

/** Work that failed for good, until somebody decides about it. */
export class DeadLetters extends Resource {
  /** Newest first. The service sends them in one page. */
  list(params: DeadLetterListParams = {}, options?: RequestOptions): PagePromise<DlqDto> {
    return this.requestPage(
      options,
      params,
      (query, init) => this.api.handlersDeadLetterQueueListDlqEntries({ query, ...init }),
      ({ entries }) => entries,
    );
  }

  retrieve(id: string, options?: RequestOptions): APIPromise<DlqDto> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersDeadLetterQueueGetDlqEntry({ path, ...init }));
  }

  resolve(id: string, params: ResolveDlqInput = {}, options?: RequestOptions): APIPromise<ResolveDlqOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) =>
      this.api.handlersDeadLetterQueueResolveDlq({ path, body: params, ...init }),
    );
  }

  abandon(id: string, params: AbandonDlqInput = {}, options?: RequestOptions): APIPromise<AbandonDlqOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) =>
      this.api.handlersDeadLetterQueueAbandonDlq({ path, body: params, ...init }),
    );
  }

  /** Lets the work run again. */
  retry(id: string, params: RetryDlqInput = {}, options?: RequestOptions): APIPromise<RetryDlqOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) =>
      this.api.handlersDeadLetterQueueRetryDlq({ path, body: params, ...init }),
    );
  }

  /** Does the same to up to 100 entries, each by itself: `results` says of each whether it was done. */
  bulk(params: BulkDlqInput, options?: RequestOptions): APIPromise<BulkDlqOutput> {
    return this.request(options, (init) => this.api.handlersDeadLetterQueueBulk({ body: params, ...init }));
  }

  /** Lets everything run again that the filter selects. */
  retryMany(params: RetryDlqEntriesInput, options?: RequestOptions): APIPromise<RetryDlqEntriesOutput> {
    return this.request(options, (init) =>
      this.api.handlersDeadLetterQueueRetryDlqEntries({ body: params, ...init }),
    );
  }
}
