import { createHash, randomBytes } from "node:crypto";
import type { ModelApi } from "../db/columns.ts";
import { NOT_FORWARDED } from "../egress/http-head.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { isUnavailableStatus, retryAfterMs } from "../shared/http-status.ts";
import { completeUrl } from "../shared/request-url.ts";
import type { Secret } from "../shared/secret.ts";
import type { Denied } from "../spend/denials.ts";
import type { Meter, MeteredCall } from "../spend/meter.ts";
import { deniedReply, isUnsent } from "./denied-reply.ts";
import { forwardedQuery, MODEL_API_STYLES } from "./model-apis.ts";

/** Largest request body, bytes: the largest limit of the APIs. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;
/** Bytes of request bodies that one run may have in flight: until the answer's end, as long as Bun's fetch keeps them. */
const MAX_WAITING_BYTES = 2 * MAX_BODY_BYTES;

/** Headers that this proxy sets itself, that are between it and one side, or that say on whose account a request is. */
const NOT_THE_RUNS = [
  ...["content-length", "accept-encoding", "expect"],
  ...["authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "set-cookie"],
  ...["anthropic-organization-id", "openai-organization", "openai-project", "x-goog-user-project"],
  "x-http-method-override",
];

export interface ModelGrant {
  /** The agent sends it as its API key. */
  token: string;
  /** Undefined: the last request was answered, or there was none. */
  trouble(): ModelTrouble | undefined;
  /** Resolves when what its calls have cost so far is stored. */
  settled(): Promise<void>;
  /** Ends access, and aborts requests in flight. Idempotent. */
  revoke(): void;
}

/** What a run may not have any more, whatever it asks for next. */
export type Exhausted = Denied & { denied: "budget" | "calls" };

/** The model's API did not answer the last request, or not now. */
export interface ModelTrouble {
  /** A sentence for the user. */
  reason: string;
  /** Milliseconds; undefined: it did not say. */
  retryAfterMs: number | undefined;
}

export interface ModelProxy {
  /** Base URL on loopback, as an agent on this machine has it: with `/v1` for OpenAI's API only, as is usual there. */
  url: string;
  port: number;
  /**
   * @param run.token that a running agent already has; default: a new one.
   * @param run.onExhausted is called once, when the run may make no more calls.
   */
  grant(run: {
    id: string;
    meter: Meter;
    token?: string | undefined;
    onExhausted?: ((why: Exhausted) => void) | undefined;
  }): ModelGrant;
  close(): Promise<void>;
}

interface LiveRun {
  id: string;
  meter: Meter;
  ended: AbortController;
  /** Set once it may make no more calls: what comes after is refused without a look. */
  exhausted: Exhausted | undefined;
  onExhausted: ((why: Exhausted) => void) | undefined;
  /** What is being stored of its calls. */
  settling: Set<Promise<void>>;
  trouble: ModelTrouble | undefined;
  waitingBytes: number;
}

/**
 * A proxy to one API of a model on loopback, so that the real key never enters a sandbox: an agent gets a token of its own
 * run, which is valid for a few operations of this API, on this machine, until the run ends.
 * @param options.upstream base URL of the API as its clients have it (see model-apis.ts), without a trailing slash.
 * @param options.port default: any free port.
 * @throws Error if the port is taken.
 */
export function openModelProxy(options: {
  api: ModelApi;
  upstream: string;
  apiKey: Secret;
  logger?: Logger | undefined;
  port?: number;
  /** A request came with no token of a run, or not a valid one. */
  onUnauthorized?: (() => void) | undefined;
}): ModelProxy {
  const { api, upstream, apiKey, logger, port = 0, onUnauthorized } = options;
  const { keyName, basePath, isOpen, tokenOf, keyHeader, failure } = MODEL_API_STYLES[api];
  // By hash: lookups reveal nothing by their timing, and a heap dump contains no tokens.
  const runs = new Map<string, LiveRun>();

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    reusePort: false,
    // A model may be silent for minutes between two events; runs have limits of their own.
    idleTimeout: 0,
    maxRequestBodySize: MAX_BODY_BYTES,
    async fetch(request) {
      const malformed = completeUrl(request);
      if (malformed) return failure("invalid", malformed.message);
      const { pathname, search, searchParams } = new URL(request.url);
      const run = runs.get(hashOf(tokenOf(request.headers, searchParams)));
      if (!run) {
        onUnauthorized?.();
        return failure("unauthorized", "The token is invalid or has been revoked.");
      }
      if (request.headers.has("upgrade"))
        return failure("no_upgrade", "WebSockets are not available to agents: send the request by HTTP.");
      if (!isOpen(request.method, pathname))
        return failure("not_found", `${request.method} ${pathname} is not open to agents.`);
      const url = `${upstream}${pathname.slice(basePath.length)}${forwardedQuery(search)}`;
      return await forward(request, run, { url, path: pathname });
    },
    error(error) {
      logger?.error("model proxy failed", { error });
      return failure("failed", "The model proxy failed.");
    },
  });

  /** Streams the response. The request is read whole, because some gateways reject a body of unknown length. */
  async function forward(
    request: Request,
    run: LiveRun,
    { url, path }: { url: string; path: string },
  ): Promise<Response> {
    if (request.headers.has("content-encoding"))
      return failure(
        "invalid",
        "What a request costs cannot be told from a compressed body: send it as it is.",
      );
    if (run.exhausted) return refusal(run, run.exhausted);
    const length = Number(request.headers.get("content-length") ?? Number.NaN);
    if (!Number.isSafeInteger(length)) return failure("no_length", "Content-Length is required.");
    if (run.waitingBytes + length > MAX_WAITING_BYTES)
      return failure("too_many", "Too many large requests at the same time.");
    run.waitingBytes += length;
    let held = length;
    const release = () => {
      run.waitingBytes -= held;
      held = 0;
    };
    const signal = AbortSignal.any([request.signal, run.ended.signal]);
    let call: MeteredCall | undefined;
    const end = (how: Parameters<MeteredCall["end"]>[0]) => {
      release();
      if (call) settle(run, call.end(how));
    };
    try {
      const body = await request.bytes();
      const begun = await run.meter.begin({ path, body, signal });
      if ("denied" in begun) {
        release();
        return refusal(run, begun);
      }
      call = begun;
      const headers = forwardable(request.headers);
      headers.set(...keyHeader(apiKey.reveal()));
      // Events are forwarded as they arrive; a decoder would hold compressed ones back.
      headers.set("accept-encoding", "identity");
      // Redirects are not followed: the key is sent to `upstream` and nowhere else. Without `timeout`, Bun's fetch fails
      // after five minutes of silence, which a model may need before its first event.
      const init = { method: "POST", headers, body, signal, redirect: "manual" as const, timeout: false };
      const response = await fetch(url, init);
      const { status } = response;
      const wait = retryAfterMs(response.headers);
      call.answered({ status, contentType: response.headers.get("content-type") ?? "", retryAfterMs: wait });
      run.trouble = isUnavailableStatus(status)
        ? {
            reason: `The model's API is not available (it answered with status ${status}).`,
            retryAfterMs: wait,
          }
        : undefined;
      if (status === 401 || status === 403)
        logger?.warn(`the model's API refused ${keyName}`, { status, run_id: run.id });
      const headersBack = forwardable(response.headers);
      // Decoded by fetch.
      headersBack.delete("content-encoding");
      if (!response.body) {
        end("whole");
        return new Response(null, { status, headers: headersBack });
      }
      const onError = (error: unknown) => {
        if (signal.aborted) return;
        run.trouble = { reason: "The model's API broke off its answer.", retryAfterMs: undefined };
        logger?.warn("the model's response was interrupted", { error: messageOf(error) });
      };
      const relayed = relay(response.body, { onChunk: call.push, onError, onEnd: end });
      return new Response(relayed, { status, headers: headersBack });
    } catch (error) {
      // One that was sent may be on the bill, whether its answer comes or not.
      end(isUnsent(error) && !signal.aborted ? "unreachable" : "broken");
      if (!signal.aborted) {
        run.trouble = { reason: "The model's API cannot be reached.", retryAfterMs: undefined };
        logger?.warn("the model's API cannot be reached", { error: messageOf(error) });
      }
      return failure("unreachable", "The model's API cannot be reached.");
    }
  }

  /** The answer to a call that is not made; what the run may never have again is noted. */
  function refusal(run: LiveRun, denied: Denied): Response {
    if (denied.denied === "budget" || denied.denied === "calls") {
      const isFirst = run.exhausted === undefined;
      const why = { ...denied, denied: denied.denied };
      run.exhausted = why;
      if (isFirst) run.onExhausted?.(why);
    }
    if (denied.retryAfterMs !== undefined)
      run.trouble = { reason: denied.message, retryAfterMs: denied.retryAfterMs };
    return deniedReply(failure, denied);
  }

  function settle(run: LiveRun, work: Promise<void>): void {
    const done = work.catch((error: unknown) => {
      // It is counted as an estimate once its run has gone on or has ended.
      logger?.warn("what a model call has cost could not be stored", {
        run_id: run.id,
        error: messageOf(error),
      });
    });
    run.settling.add(done);
    void done.then(() => run.settling.delete(done));
  }

  return {
    url: `http://127.0.0.1:${server.port}${basePath}`,
    port: server.port ?? 0,
    grant({ id, meter, token = `run-${randomBytes(32).toString("base64url")}`, onExhausted }) {
      const key = hashOf(token);
      const run: LiveRun = {
        ...{ id, meter, onExhausted, ended: new AbortController(), settling: new Set() },
        ...{ exhausted: undefined, trouble: undefined, waitingBytes: 0 },
      };
      runs.set(key, run);
      return {
        token,
        trouble: () => run.trouble,
        async settled() {
          await Promise.all(run.settling);
        },
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
 * The same stream, except that it closes when the original fails: the agent notices the missing end event in either case,
 * and Bun would print an error here, outside the log.
 */
function relay(
  body: ReadableStream<Uint8Array>,
  on: {
    onChunk: (chunk: Uint8Array) => void;
    onError: (error: unknown) => void;
    onEnd: (how: "whole" | "broken") => void;
  },
): ReadableStream {
  const reader = body.getReader();
  const source = {
    async pull(controller: ReadableStreamDefaultController<Uint8Array>) {
      let how: "whole" | "broken" = "whole";
      try {
        const { done, value } = await reader.read();
        if (!done) {
          controller.enqueue(value);
          return on.onChunk(value);
        }
      } catch (error) {
        how = "broken";
        on.onError(error);
      }
      on.onEnd(how);
      controller.close();
    },
    cancel(reason: unknown) {
      on.onEnd("broken");
      return reader.cancel(reason);
    },
  };
  return new ReadableStream(source, { highWaterMark: 0 });
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}

function forwardable(headers: Headers): Headers {
  const result = new Headers(headers);
  // Headers listed in Connection belong to the connection, too.
  for (const name of (headers.get("connection") ?? "").split(","))
    if (/^[\w-]+$/.test(name.trim())) result.delete(name.trim());
  for (const name of [...NOT_FORWARDED, ...NOT_THE_RUNS]) result.delete(name);
  return result;
}
