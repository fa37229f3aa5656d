import type { Socket } from "node:net";
import type { Decision, EgressRequest } from "./policy.ts";

/** What the protocols of a gateway need from it. */
export interface Relay {
  /** Decides, and records the decision. */
  decide(request: EgressRequest): Promise<Decision>;
  /** Connects to one of these addresses. @throws Unreachable */
  dial(addresses: readonly string[], port: number): Promise<Socket>;
  /** Milliseconds after which a connection in which nothing moves is closed. */
  idleMs: number;
}
