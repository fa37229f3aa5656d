import type { APIPromise } from "../api-promise.js";
import type { CreateOptions, RequestOptions } from "../core.js";
import type {
  CreateMessageInput,
  CreateMessageOutput,
  DeleteMessageOutput,
  HandlersMessagesListData,
  MessageDto,
  UpdateMessageInput,
  UpdateMessageOutput,
} from "../generated/types.gen.js";
import type { PagePromise } from "../page.js";
import { checkId, PAGE, Resource } from "./resource.js";

export type MessageListParams = NonNullable<HandlersMessagesListData["query"]>;

/** What agents said and did. */
export class Messages extends Resource {
  create(params: CreateMessageInput, options?: CreateOptions): APIPromise<CreateMessageOutput> {
    return this.request(options, (init) => this.api.handlersMessagesCreate({ body: params, ...init }));
  }

  /** The messages of a prompt, in order. */
  list(promptId: string, params?: MessageListParams, options?: RequestOptions): PagePromise<MessageDto> {
    const path = { prompt_id: checkId(promptId) };
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersMessagesList({ path, query, ...init }),
      ({ messages }) => messages,
    );
  }

  retrieve(id: string, options?: RequestOptions): APIPromise<MessageDto> {
    const path = { id: checkId(id) };
    return this.request(
      options,
      (init) => this.api.handlersMessagesRead({ path, ...init }),
      ({ message }) => message,
    );
  }

  update(id: string, params: UpdateMessageInput, options?: RequestOptions): APIPromise<UpdateMessageOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersMessagesUpdate({ path, body: params, ...init }));
  }

  delete(id: string, options?: RequestOptions): APIPromise<DeleteMessageOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersMessagesDelete({ path, ...init }));
  }
}
