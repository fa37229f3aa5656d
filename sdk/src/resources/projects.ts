import type { APIPromise } from "../api-promise.js";
import type { CreateOptions, RequestOptions } from "../core.js";
import type {
  CreateProjectInput,
  CreateProjectOutput,
  DeleteProjectOutput,
  HandlersProjectsListData,
  ProjectDto,
  UpdateProjectInput,
  UpdateProjectOutput,
} from "../generated/types.gen.js";
import type { PagePromise } from "../page.js";
import { checkId, PAGE, Resource } from "./resource.js";

export type ProjectListParams = NonNullable<HandlersProjectsListData["query"]>;

/** What a repository needs: instructions, a setup command, variables, secrets, hosts, MCP servers. */
export class Projects extends Resource {
  /** A repository has one project of a user. Values of secrets are never returned. */
  create(params: CreateProjectInput, options?: CreateOptions): APIPromise<CreateProjectOutput> {
    return this.request(options, (init) => this.api.handlersProjectsCreate({ body: params, ...init }));
  }

  /** Your projects, oldest first. */
  list(params?: ProjectListParams, options?: RequestOptions): PagePromise<ProjectDto> {
    return this.requestPage(
      options,
      { ...PAGE, ...params },
      (query, init) => this.api.handlersProjectsList({ query, ...init }),
      ({ projects }) => projects,
    );
  }

  retrieve(id: string, options?: RequestOptions): APIPromise<ProjectDto> {
    const path = { id: checkId(id) };
    return this.request(
      options,
      (init) => this.api.handlersProjectsRead({ path, ...init }),
      ({ project }) => project,
    );
  }

  /** Changes the fields that are given. Of `secrets` those that are named; `null` removes one. */
  update(id: string, params: UpdateProjectInput, options?: RequestOptions): APIPromise<UpdateProjectOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersProjectsUpdate({ path, body: params, ...init }));
  }

  /** With its secrets. Sessions of the repository stay. */
  delete(id: string, options?: RequestOptions): APIPromise<DeleteProjectOutput> {
    const path = { id: checkId(id) };
    return this.request(options, (init) => this.api.handlersProjectsDelete({ path, ...init }));
  }
}
