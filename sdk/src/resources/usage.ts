import type { APIPromise } from "../api-promise.js";
import type { RequestOptions } from "../core.js";
import type {
  BudgetDto,
  HandlersUsageListData,
  SessionUsageOutput,
  UsageDto,
  UsageTotals,
} from "../generated/types.gen.js";
import type { PagePromise } from "../page.js";
import { checkId, PAGE, Resource } from "./resource.js";

export type UsageListParams = NonNullable<HandlersUsageListData["query"]>;

/** What model calls have used and cost, counted by the service. */
export class Usage extends Resource {
  /** By day or what `group_by` names, in the order of that. */
  list(params?: UsageListParams, options?: RequestOptions): PagePromise<UsageDto> {
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersUsageList({ query, ...init }),
      ({ usage }) => usage,
    );
  }

  /** The sum of what `list` has. */
  total(
    params?: Omit<UsageListParams, "group_by" | "limit" | "cursor">,
    options?: RequestOptions,
  ): APIPromise<UsageTotals> {
    return this.request(
      options,
      (init) => this.api.handlersUsageList({ query: { ...params, limit: 1 }, ...init }),
      ({ total }) => total,
    );
  }

  /** All of what `list` has as a table for spreadsheets (RFC 4180). */
  csv(params?: Omit<UsageListParams, "limit" | "cursor">, options?: RequestOptions): APIPromise<string> {
    const as = (init: { headers: Record<string, string> }) => ({
      ...{ headers: { ...init.headers, accept: "text/csv" }, parseAs: "text" as const },
    });
    return this.request(
      options,
      (init) => this.api.handlersUsageList({ query: params, ...init, ...as(init) }),
      (data) => data as unknown as string,
    );
  }

  /** Of a session, by model, with what is left of its budget. */
  session(id: string, options?: RequestOptions): APIPromise<SessionUsageOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersUsageSession({ path, ...init }));
  }

  /** The user's budgets and, for admins, the deployment's. */
  budgets(options?: RequestOptions): APIPromise<BudgetDto[]> {
    return this.request(
      options,
      (init) => this.api.handlersUsageBudgets(init),
      ({ budgets }) => budgets,
    );
  }
}
