import type { APIPromise } from "../api-promise.js";
import type { CreateOptions, RequestOptions } from "../core.js";
import type {
  CreatePromptInput,
  CreatePromptOutput,
  DeletePromptOutput,
  HandlersPromptsListData,
  HandlersSteersListData,
  PromptDto,
  ResumePromptInput,
  ResumePromptOutput,
  RetryPromptOutput,
  SteerDto,
  SteerPromptInput,
  SteerPromptOutput,
  UpdatePromptInput,
  UpdatePromptOutput,
} from "../generated/types.gen.js";
import type { PagePromise } from "../page.js";
import { checkId, PAGE, Resource } from "./resource.js";

export type PromptListParams = NonNullable<HandlersPromptsListData["query"]>;

export type SteerListParams = NonNullable<HandlersSteersListData["query"]>;

export class Prompts extends Resource {
  /** Queues a prompt behind the session's earlier ones. */
  create(params: CreatePromptInput, options?: CreateOptions): APIPromise<CreatePromptOutput> {
    return this.request(options, (init) => this.api.handlersPromptsCreate({ body: params, ...init }));
  }

  /** The prompts of a session, in order. */
  list(sessionId: string, params?: PromptListParams, options?: RequestOptions): PagePromise<PromptDto> {
    const path = { session_id: checkId(sessionId) };
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersPromptsList({ path, query, ...init }),
      ({ prompts }) => prompts,
    );
  }

  retrieve(id: string, options?: RequestOptions): APIPromise<PromptDto> {
    const path = { id: checkId(id) };
    return this.request(
      options,
      (init) => this.api.handlersPromptsRead({ path, ...init }),
      ({ prompt }) => prompt,
    );
  }

  /** Changes a prompt that waits. */
  update(id: string, params: UpdatePromptInput, options?: RequestOptions): APIPromise<UpdatePromptOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersPromptsUpdate({ path, body: params, ...init }));
  }

  /** Tries a prompt that waits for something (`waiting_for`) now, instead of at its `next_attempt_at`. */
  retry(id: string, options?: RequestOptions): APIPromise<RetryPromptOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersPromptsRetry({ path, ...init }));
  }

  /** Raises the budget of a prompt that waits for it (`waiting_for: "budget"`), and has it go on. */
  resume(id: string, params: ResumePromptInput, options?: RequestOptions): APIPromise<ResumePromptOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersPromptsResume({ path, body: params, ...init }));
  }

  /** Says something to the agent of a running prompt; `delivered` says whether that got it, or a follow-up prompt. */
  steer(id: string, params: SteerPromptInput, options?: CreateOptions): APIPromise<SteerPromptOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersPromptsSteer({ path, body: params, ...init }));
  }

  /** What was said to a prompt's agent, in order; with `status: "pending"`, what it has not taken yet. */
  steers(id: string, params?: SteerListParams, options?: RequestOptions): PagePromise<SteerDto> {
    const path = { id: checkId(id) };
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersSteersList({ path, query, ...init }),
      ({ steers }) => steers,
    );
  }

  /** Deletes a prompt that does not run. */
  delete(id: string, options?: RequestOptions): APIPromise<DeletePromptOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersPromptsDelete({ path, ...init }));
  }

  /** The bytes of an attachment, whose id is in `source` of the prompt's `data`. */
  readAttachment(id: string, options?: RequestOptions): APIPromise<Blob> {
    return this.request(
      options,
      (init) => this.api.handlersAttachmentsRead({ path: { id: checkId(id) }, parseAs: "blob", ...init }),
      (data) => data as Blob,
    );
  }
}
