import { createHash, randomBytes } from "node:crypto";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";

/** What one run may have on its way to the model at a time, bytes; one request may be half of it (the API's own limit). */
const MAX_BODY_BYTES = 32 * 1024 * 1024;
const MAX_WAITING_BYTES = 2 * MAX_BODY_BYTES;

const ROUTES: Readonly<Record<string, string>> = {
  "/v1/messages": "POST",
  "/v1/messages/count_tokens": "POST",
};

/** Headers that belong to one connection, or that this proxy decides. */
const NOT_FORWARDED = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
  "content-length",
  "content-encoding",
  "accept-encoding",
  "authorization",
  "x-api-key",
  "cookie",
  "set-cookie",
] as const;

export interface ModelGrant {
  /** What the agent sends as its API key. */
  token: string;
  /** Ends access and every request under way. Idempotent. */
  revoke(): void;
}

export interface ModelProxy {
  /** Base URL on loopback, for ANTHROPIC_BASE_URL of an agent on this machine. */
  url: string;
  port: number;
  /** @param token one that an agent has already; by default a new one. */
  grant(runId: string, token?: string): ModelGrant;
  close(): Promise<void>;
}

interface LiveRun {
  id: string;
  ended: AbortController;
  waitingBytes: number;
}

/**
 * A small way to the Messages API on loopback, so that the real key never enters a sandbox: an agent gets a token of
 * its own run, which is good for two operations, on this machine, until the run ends.
 * @param options.upstream base URL of the API, without a trailing slash.
 * @param options.port by default any free one.
 * @throws Error when the port is taken.
 */
export function openModelProxy(options: {
  upstream: string;
  apiKey: Secret;
  logger?: Logger | undefined;
  port?: number;
}): ModelProxy {
  const { upstream, apiKey, logger, port = 0 } = options;
  // By hash: the look-up's timing then says nothing about a token, and a heap dump holds none.
  const runs = new Map<string, LiveRun>();

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    reusePort: false,
    // A model may think for minutes between two events; the run has its own limits.
    idleTimeout: 0,
    maxRequestBodySize: MAX_BODY_BYTES,
    async fetch(request) {
      const run = runs.get(hashOf(tokenOf(request.headers)));
      if (!run) return failure(401, "authentication_error", "This token is not, or no longer, valid.");
      const { pathname, search } = new URL(request.url);
      if (ROUTES[pathname] !== request.method)
        return failure(404, "not_found_error", `${request.method} ${pathname} is not open to agents.`);
      return await forward(request, run, `${upstream}${pathname}${search}`);
    },
    error(error) {
      logger?.error("model proxy failed", { error });
      return failure(500, "api_error", "The model proxy failed.");
    },
  });

  /** Streams the answer; the question is read whole, because not every gateway takes a body of unknown length. */
  async function forward(request: Request, run: LiveRun, url: string): Promise<Response> {
    const length = Number(request.headers.get("content-length") ?? Number.NaN);
    if (!Number.isSafeInteger(length))
      return failure(411, "invalid_request_error", "Content-Length is required.");
    if (run.waitingBytes + length > MAX_WAITING_BYTES)
      return failure(429, "rate_limit_error", "Too many large requests at a time.");
    run.waitingBytes += length;
    const signal = AbortSignal.any([request.signal, run.ended.signal]);
    try {
      const body = await request.arrayBuffer();
      const headers = forwardable(request.headers);
      headers.set("x-api-key", apiKey.reveal());
      // What arrives is passed on as it is; compressed events would wait in a decoder.
      headers.set("accept-encoding", "identity");
      // A redirect is handed on unfollowed: the key goes to `upstream` and nowhere else.
      const init = { method: "POST", headers, body, signal, redirect: "manual" as const };
      const answer = await fetch(url, init);
      if (answer.status === 401 || answer.status === 403)
        logger?.warn("the model's API refused ANTHROPIC_API_KEY", { status: answer.status, run_id: run.id });
      const broken = (error: unknown) => {
        if (!signal.aborted) logger?.warn("the model's answer broke off", { error: messageOf(error) });
      };
      const passed = answer.body && passOn(answer.body, broken);
      return new Response(passed, { status: answer.status, headers: forwardable(answer.headers) });
    } catch (error) {
      if (!signal.aborted) logger?.warn("the model's API cannot be reached", { error: messageOf(error) });
      return failure(502, "api_error", "The model's API cannot be reached.");
    } finally {
      run.waitingBytes -= length;
    }
  }

  return {
    url: `http://127.0.0.1:${server.port}`,
    port: server.port ?? 0,
    grant(runId, token = `run-${randomBytes(32).toString("base64url")}`) {
      const key = hashOf(token);
      const run = { id: runId, ended: new AbortController(), waitingBytes: 0 };
      runs.set(key, run);
      return {
        token,
        revoke() {
          if (runs.delete(key)) run.ended.abort();
        },
      };
    },
    async close() {
      for (const run of runs.values()) run.ended.abort();
      runs.clear();
      await server.stop(true);
    },
  };
}

/**
 * The same stream, which closes where the other breaks off: the agent misses the API's own end mark either way, and an
 * error here would be printed by Bun, outside of the log.
 */
function passOn(body: ReadableStream<Uint8Array>, broken: (error: unknown) => void): ReadableStream {
  const reader = body.getReader();
  const source = {
    async pull(controller: ReadableStreamDefaultController<Uint8Array>) {
      try {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (error) {
        broken(error);
        controller.close();
      }
    },
    cancel: (reason: unknown) => reader.cancel(reason),
  };
  return new ReadableStream(source, { highWaterMark: 0 });
}

function tokenOf(headers: Headers): string {
  return headers.get("x-api-key") ?? headers.get("authorization")?.replace(/^Bearer /i, "") ?? "";
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}

function forwardable(headers: Headers): Headers {
  const result = new Headers(headers);
  // A header that Connection names belongs to the connection too.
  for (const name of (headers.get("connection") ?? "").split(","))
    if (/^[\w-]+$/.test(name.trim())) result.delete(name.trim());
  for (const name of NOT_FORWARDED) result.delete(name);
  return result;
}

/** An error in the shape of Anthropic's API, which the agent can read. */
function failure(status: number, type: string, message: string): Response {
  return Response.json({ type: "error", error: { type, message } }, { status });
}
