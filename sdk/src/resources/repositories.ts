import type { APIPromise } from "../api-promise.js";
import type { RequestOptions } from "../core.js";
import type {
  HandlersRepositoriesListData,
  ListBranchesOutput,
  ListRepositoriesOutput,
} from "../generated/types.gen.js";
import { Resource } from "./resource.js";

export type RepositoryListParams = NonNullable<HandlersRepositoriesListData["query"]>;

/** What a new session may be about. */
export class Repositories extends Resource {
  list(params?: RepositoryListParams, options?: RequestOptions): APIPromise<ListRepositoriesOutput> {
    return this.request(options, (init) =>
      this.api.handlersRepositoriesList({ ...(params && { query: params }), ...init }),
    );
  }

  /** @param repo as when a session is created. */
  branches(repo: string, options?: RequestOptions): APIPromise<ListBranchesOutput> {
    return this.request(options, (init) =>
      this.api.handlersRepositoriesListBranches({ query: { repo }, ...init }),
    );
  }
}
