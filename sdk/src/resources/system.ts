import type { APIPromise } from "../api-promise.js";
import type { RequestOptions } from "../core.js";
import type { SystemStatusOutput } from "../generated/types.gen.js";
import { Resource } from "./resource.js";

/** How the service is doing, for admins. */
export class System extends Resource {
  status(options?: RequestOptions): APIPromise<SystemStatusOutput> {
    return this.request(options, (init) => this.api.handlersSystem(init));
  }
}
