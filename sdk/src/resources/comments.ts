import type { APIPromise } from "../api-promise.js";
import type { CreateOptions, RequestOptions } from "../core.js";
import type {
  CommentDto,
  CreateCommentInput,
  CreateCommentOutput,
  DeleteCommentOutput,
  HandlersCommentsListData,
  SendCommentsInput,
  SendCommentsOutput,
  UpdateCommentInput,
  UpdateCommentOutput,
} from "../generated/types.gen.js";
import type { PagePromise } from "../page.js";
import { checkId, PAGE, Resource } from "./resource.js";

export type CommentListParams = NonNullable<HandlersCommentsListData["query"]>;

/** What you say about lines and files of a session's work. */
export class Comments extends Resource {
  /** Comments on lines, or without `line` on a file, of a commit. */
  create(
    sessionId: string,
    params: CreateCommentInput,
    options?: CreateOptions,
  ): APIPromise<CreateCommentOutput> {
    const path = { id: checkId(sessionId) };
    return this.request(options, (init) => this.api.handlersCommentsCreate({ path, body: params, ...init }));
  }

  /** The comments of a session, in the order in which they were made. `current` says where their lines are today. */
  list(sessionId: string, params?: CommentListParams, options?: RequestOptions): PagePromise<CommentDto> {
    const path = { id: checkId(sessionId) };
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersCommentsList({ path, query, ...init }),
      ({ comments }) => comments,
    );
  }

  /** Changes the text of an open comment. */
  update(id: string, params: UpdateCommentInput, options?: RequestOptions): APIPromise<UpdateCommentOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersCommentsUpdate({ path, body: params, ...init }));
  }

  delete(id: string, options?: RequestOptions): APIPromise<DeleteCommentOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersCommentsDelete({ path, ...init }));
  }

  /** Sends the open comments, or those named, to the agent as one follow-up prompt. */
  send(
    sessionId: string,
    params: SendCommentsInput = {},
    options?: CreateOptions,
  ): APIPromise<SendCommentsOutput> {
    const path = { id: checkId(sessionId) };
    return this.request(options, (init) => this.api.handlersCommentsSend({ path, body: params, ...init }));
  }
}
