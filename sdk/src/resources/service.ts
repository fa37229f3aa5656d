import type { APIPromise } from "../api-promise.js";
import type { RequestOptions } from "../core.js";
import type {
  ForgeEventInput,
  ForgeEventOutput,
  HealthDetailOutput,
  HealthResponse,
  MeOutput,
  ReturnItemInput,
  ReturnItemOutput,
} from "../generated/types.gen.js";
import { Resource } from "./resource.js";

export class Me extends Resource {
  /** The current user and limits. */
  retrieve(options?: RequestOptions): APIPromise<MeOutput> {
    return this.request(options, (init) => this.api.handlersMe(init));
  }
}

export class Health extends Resource {
  check(options?: RequestOptions): APIPromise<HealthResponse> {
    return this.request(options, (init) => this.api.handlersHealthHealth(init));
  }

  live(options?: RequestOptions): APIPromise<HealthResponse> {
    return this.request(options, (init) => this.api.handlersHealthLive(init));
  }

  /** Rejects while something is missing: with InternalServerError, whose `msg` names it, after the retries. */
  ready(options?: RequestOptions): APIPromise<HealthResponse> {
    return this.request(options, (init) => this.api.handlersHealthReady(init));
  }

  /** Version, agent, isolation, database and queue. */
  detail(options?: RequestOptions): APIPromise<HealthDetailOutput> {
    return this.request(options, (init) => this.api.handlersHealthDetail(init));
  }
}

/** For IP allocators and git hosts. They have no user's token: send the secret or a signature in `options.headers`. */
export class Webhooks extends Resource {
  /** Reports that a borrowed sandbox was returned. */
  returnItem(params: ReturnItemInput, options?: RequestOptions): APIPromise<ReturnItemOutput> {
    return this.request(options, (init) => this.api.handlersWebhooksReturnItem({ body: params, ...init }));
  }

  /** Reports that a pull request has changed, as its host does. */
  forge(event: ForgeEventInput, options?: RequestOptions): APIPromise<ForgeEventOutput> {
    return this.request(options, (init) => this.api.handlersWebhooksForge({ body: event, ...init }));
  }
}
