import type { Server } from "bun";
import { errorReply } from "../api/error-reply.ts";
import { MAX_PROMPT_BODY_BYTES } from "../api/request-body.ts";
import { messageOf, OperatorError } from "../shared/errors.ts";
import { completeUrl } from "../shared/request-url.ts";
import { withTimeout } from "../shared/time.ts";
import { addServer } from "./client-address.ts";
import type { FetchHandler } from "./time-limit.ts";

/** How long requests in progress may take to finish at shutdown. */
const DRAIN_TIMEOUT_MS = 3_000;
/** Seconds after which an idle connection is closed. */
const IDLE_TIMEOUT_S = 60;

/**
 * Serves an app. Port 0: any free port.
 * @throws OperatorError when the port is in use or not permitted.
 */
export async function listen(options: {
  app: FetchHandler;
  host: string;
  port: number;
  /** Of the replies to requests that never reach the app. Default: none. */
  headersOf?: (request: Request) => Record<string, string>;
  /** Seconds; for tests. */
  idleTimeoutS?: number;
}): Promise<{ url: string; stop(): Promise<void> }> {
  const { app, host, port, headersOf = () => ({}), idleTimeoutS = IDLE_TIMEOUT_S } = options;
  let server: Server<undefined>;
  try {
    server = Bun.serve({
      hostname: host,
      port,
      idleTimeout: idleTimeoutS,
      // Our own limit comes first, because Bun's refusal has no body and no CORS headers. This one bounds how much of a
      // body may be buffered before a route reads it.
      maxRequestBodySize: 2 * MAX_PROMPT_BODY_BYTES,
      // With Bun's default, a second process could share the port unnoticed.
      reusePort: false,
      development: false,
      fetch(request, server) {
        const malformed = completeUrl(request);
        if (malformed) return errorReply(malformed, request, headersOf(request));
        // To Bun, sending does not count as activity. Streams have heartbeats, and disconnect slow readers themselves.
        const begin = (reply: Response) => {
          if (reply.headers.get("content-type")?.startsWith("text/event-stream")) server.timeout(request, 0);
          return reply;
        };
        const reply = app.fetch(request);
        return reply instanceof Promise ? reply.then(begin) : begin(reply);
      },
    });
  } catch (error) {
    const code = (error as { code?: string }).code;
    const why =
      code === "EADDRINUSE"
        ? "is in use by another process; stop it, or set another PORT"
        : code === "EACCES"
          ? "is not permitted for this user; set a PORT above 1023"
          : messageOf(error);
    throw new OperatorError(`Cannot listen: port ${port} of ${host} ${why}.`, 1, { cause: error });
  }
  const forget = addServer(server);
  return {
    url: `http://${urlHost(host)}:${server.port}`,
    async stop() {
      await withTimeout(DRAIN_TIMEOUT_MS, server.stop(), "requests did not finish").catch(() => undefined);
      await server.stop(true);
      forget();
    },
  };
}

/** The host of a URL that reaches a server listening on `host`. */
export function urlHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "localhost";
  return host.includes(":") ? `[${host}]` : host;
}
