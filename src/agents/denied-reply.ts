import type { Denied } from "../spend/denials.ts";
import type { ModelApiStyle, ProxyFailure } from "./model-apis.ts";

/** Why a call is denied, in the words of failures. */
const FAILURES: Readonly<Record<Denied["denied"], ProxyFailure>> = {
  ...{ invalid: "invalid", model: "forbidden", budget: "no_budget", calls: "no_budget" },
  ...{ ended: "unauthorized", busy: "too_many", unavailable: "unavailable" },
};

/** The answer to a call that is not made: its client tries again only where that may help. */
export function deniedReply(failure: ModelApiStyle["failure"], denied: Denied): Response {
  const { message, retryAfterMs } = denied;
  const reply = failure(FAILURES[denied.denied], message);
  // The SDKs of these APIs look for it before they look at the status.
  if (retryAfterMs === undefined) reply.headers.set("x-should-retry", "false");
  else reply.headers.set("retry-after", String(Math.ceil(retryAfterMs / 1000)));
  return reply;
}

/** Bun's names, and the system's. */
const UNSENT: ReadonlySet<string> = new Set([
  ...["ConnectionRefused", "FailedToOpenSocket", "DNSException", "ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"],
]);

/** Whether a request has failed before there was a connection: then it is on no bill. */
export const isUnsent = (error: unknown): boolean =>
  error instanceof Error && "code" in error && UNSENT.has(String(error.code));
