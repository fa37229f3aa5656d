import type { Client } from "./generated/client/index.js";
import type { PromptBackendApi } from "./generated/sdk.gen.js";
import type { Send } from "./transport.js";
import type { Backoff } from "./wait.js";

/** What every call takes as its last argument. */
export interface RequestOptions {
  /** Aborts the call, which then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for each attempt, to the last byte of the reply. */
  timeout?: number | undefined;
  /** Retries after connection errors and replies with 408, 429 or 5xx. */
  maxRetries?: number | undefined;
  /** More headers, such as `if-match`. */
  headers?: Record<string, string> | undefined;
}

/** Of calls that create. */
export interface CreateOptions extends RequestOptions {
  /** The same key again gets the first reply again, for 24 hours. Default: a random one for each call, the same in its retries. */
  idempotencyKey?: string | undefined;
}

/** What all resources are made of. */
export interface Core {
  api: PromptBackendApi;
  client: Client;
  send: Send;
  backoff: Backoff;
}
