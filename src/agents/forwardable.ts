import { NOT_FORWARDED } from "../egress/http-head.ts";

/** Headers that this proxy sets itself, that are between it and one side, or that say on whose account a request is. */
const NOT_THE_RUNS = [
  ...["content-length", "accept-encoding", "expect"],
  ...["authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "set-cookie"],
  ...["anthropic-organization-id", "openai-organization", "openai-project", "x-goog-user-project"],
  "x-http-method-override",
];

/** The headers of a request or of an answer that the other side may see. */
export function forwardable(headers: Headers): Headers {
  const result = new Headers(headers);
  // Headers listed in Connection belong to the connection, too.
  for (const name of (headers.get("connection") ?? "").split(","))
    if (/^[\w-]+$/.test(name.trim())) result.delete(name.trim());
  for (const name of [...NOT_FORWARDED, ...NOT_THE_RUNS]) result.delete(name);
  return result;
}
