import type { Server } from "bun";
import { MAX_BODY_BYTES } from "../api/body-limits.ts";
import { messageOf, OperatorError } from "../shared/errors.ts";
import { rememberServer } from "./client-address.ts";

/** Requests under way get this long at the end. */
const DRAIN_MS = 3_000;
/** Seconds of silence after which a connection is closed. */
const IDLE_TIMEOUT_S = 60;

/**
 * Serves an app. Port 0: any free one.
 * @throws OperatorError when the port is taken or may not be used.
 */
export async function listen(options: {
  app: { fetch(request: Request): Response | Promise<Response> };
  host: string;
  port: number;
  /** Seconds; for tests. */
  idleTimeoutS?: number;
}): Promise<{ url: string; stop(): Promise<void> }> {
  const { app, host, port, idleTimeoutS = IDLE_TIMEOUT_S } = options;
  let server: Server<undefined>;
  try {
    server = Bun.serve({
      hostname: host,
      port,
      idleTimeout: idleTimeoutS,
      // Bun's own refusal says nothing and has no CORS, so that ours comes first; how much more than is taken may pile
      // up in memory before a route looks at it still has a bound.
      maxRequestBodySize: MAX_BODY_BYTES * 16,
      // Bun's default lets a second process share the port in silence.
      reusePort: false,
      development: false,
      async fetch(request, server) {
        rememberServer(request, server);
        const reply = await app.fetch(request);
        // What a stream sends does not count as a sign of life; it has heartbeats, and cuts slow readers off itself.
        if (reply.headers.get("content-type")?.startsWith("text/event-stream")) server.timeout(request, 0);
        return reply;
      },
    });
  } catch (error) {
    const code = (error as { code?: string }).code;
    const why =
      code === "EADDRINUSE"
        ? "is in use by another process; stop that one, or set another PORT"
        : code === "EACCES"
          ? "may not be used by this user; set a PORT above 1023"
          : messageOf(error);
    throw new OperatorError(`Cannot listen: port ${port} of ${host} ${why}.`, 1, { cause: error });
  }
  const shown = host === "0.0.0.0" || host === "::" ? "localhost" : host.includes(":") ? `[${host}]` : host;
  return {
    url: `http://${shown}:${server.port}`,
    async stop() {
      const drained = server.stop();
      await Promise.race([drained, Bun.sleep(DRAIN_MS)]);
      await server.stop(true);
    },
  };
}
