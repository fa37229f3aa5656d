import type { ModelApi } from "../db/columns.ts";
import { retryAfterMs } from "../shared/http-status.ts";
import type { Denied } from "../spend/denials.ts";
import type { Meter } from "../spend/meter.ts";
import { deniedReply, isUnsent } from "./denied-reply.ts";
import { MODEL_API_STYLES } from "./model-apis.ts";

/**
 * The service's own calls of a model, for the client library of its API: metered like those of agents. Answers are not streamed.
 * @param onDenied a call was not made.
 */
export function meteredFetch(api: ModelApi, meter: Meter, onDenied: (denied: Denied) => void) {
  const { failure } = MODEL_API_STYLES[api];
  return async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = url instanceof Request ? new Request(url, init) : new Request(String(url), init);
    const body = await request.clone().bytes();
    const call = await meter.begin({ path: new URL(request.url).pathname, body, signal: request.signal });
    if ("denied" in call) {
      onDenied(call);
      return deniedReply(failure, call);
    }
    try {
      const response = await fetch(request);
      const { status, headers } = response;
      call.answered({
        ...{ status, retryAfterMs: retryAfterMs(headers) },
        contentType: headers.get("content-type") ?? "",
      });
      const bytes = await response.bytes();
      call.push(bytes);
      await call.end("whole");
      const kept = new Headers(headers);
      // It is decoded.
      for (const name of ["content-encoding", "content-length"]) kept.delete(name);
      return new Response(bytes, { status, headers: kept });
    } catch (error) {
      await call.end(isUnsent(error) ? "unreachable" : "broken");
      throw error;
    }
  };
}
