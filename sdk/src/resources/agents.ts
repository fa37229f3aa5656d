import type { APIPromise } from "../api-promise.js";
import type { RequestOptions } from "../core.js";
import type { ListAgentsOutput } from "../generated/types.gen.js";
import { Resource } from "./resource.js";

/** What works on prompts. */
export class Agents extends Resource {
  list(options?: RequestOptions): APIPromise<ListAgentsOutput> {
    return this.request(options, (init) => this.api.handlersAgentsList(init));
  }
}
