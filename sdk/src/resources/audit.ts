import type { RequestOptions } from "../core.js";
import type { AuditEntryDto, HandlersAuditListData } from "../generated/types.gen.js";
import type { PagePromise } from "../page.js";
import { PAGE, Resource } from "./resource.js";

export type AuditListParams = NonNullable<HandlersAuditListData["query"]>;

/** The audit log, for admins. */
export class Audit extends Resource {
  list(params?: AuditListParams, options?: RequestOptions): PagePromise<AuditEntryDto> {
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersAuditList({ query, ...init }),
      ({ entries }) => entries,
    );
  }
}
