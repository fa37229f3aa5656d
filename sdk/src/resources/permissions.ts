import type { APIPromise } from "../api-promise.js";
import type { RequestOptions } from "../core.js";
import type {
  AnswerPermissionInput,
  AnswerPermissionOutput,
  HandlersPermissionsListData,
  PermissionDto,
} from "../generated/types.gen.js";
import type { PagePromise } from "../page.js";
import { checkId, PAGE, Resource } from "./resource.js";

export type PermissionListParams = NonNullable<HandlersPermissionsListData["query"]>;

/** What agents ask before they act, in the mode `ask`. */
export class Permissions extends Resource {
  /** What a session's agents have asked, in order; with `status: "pending"`, what waits for an answer. */
  list(
    sessionId: string,
    params?: PermissionListParams,
    options?: RequestOptions,
  ): PagePromise<PermissionDto> {
    const path = { id: checkId(sessionId) };
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersPermissionsList({ path, query, ...init }),
      ({ permissions }) => permissions,
    );
  }

  /** Answers a question, once: `allow`, `allow_run` for the rest of the run, or `deny` with a reason. */
  answer(
    id: string,
    params: AnswerPermissionInput,
    options?: RequestOptions,
  ): APIPromise<AnswerPermissionOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) =>
      this.api.handlersPermissionsAnswer({ path, body: params, ...init }),
    );
  }
}
