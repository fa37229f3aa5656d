import { createHash, randomBytes } from "node:crypto";
import type { ModelApi } from "../db/columns.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { isUnavailableStatus, retryAfterMs } from "../shared/http-status.ts";
import { completeUrl } from "../shared/request-url.ts";
import type { Secret } from "../shared/secret.ts";
import type { Denied } from "../spend/denials.ts";
import type { Meter, MeteredCall } from "../spend/meter.ts";
import { deniedReply, isUnsent } from "./denied-reply.ts";
import { forwardable } from "./forwardable.ts";
import { forwardedQuery, MODEL_API_STYLES, type ProxyFailure } from "./model-apis.ts";
import { relay } from "./relay.ts";

/** Largest request body, bytes: the largest limit of the APIs. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;
/** Bytes of request bodies that one run may have in flight: until the answer's end, as long as Bun's fetch keeps them. */
const MAX_WAITING_BYTES = 2 * MAX_BODY_BYTES;

export interface ModelGrant {
  /** The agent sends it as its API key. */
  token: string;
  /** Undefined: the last request was answered, or there was none. `isFirst`: no call before it had an answer, whole or not. */
  trouble(): (ModelTrouble & { isFirst: boolean }) | undefined;
  /** Why its calls are refused, if none was answered, or none since it is exhausted: some agents say that they are done then. */
  denied(): Denied | undefined;
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
  /** Why the last one was refused of its calls that are of no use to repeat. */
  denied: Denied | undefined;
  /** One of its calls was answered: ever, or since it is exhausted. */
  answered: boolean;
  /** The API has begun to answer one; its client may go away once it knows enough. */
  heard: boolean;
  /** Its calls, each of which ends when this is called. */
  open: Set<() => void>;
  /** What is being reserved for its calls, and stored of them. */
  settling: Set<Promise<unknown>>;
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
  /** A request was refused without a look at what it costs: it has no valid token, may not be made, or its run may have no more. */
  onRefused?: ((why: "token" | Denied["denied"]) => void) | undefined;
}): ModelProxy {
  const { api, upstream, apiKey, logger, port = 0, onRefused } = options;
  const { keyName, basePath, isOpen, tokenOf, keyHeader, failure } = MODEL_API_STYLES[api];
  const refuse = (kind: ProxyFailure, message: string): Response => {
    onRefused?.(kind === "unauthorized" ? "token" : kind === "too_many" ? "busy" : "invalid");
    return failure(kind, message);
  };
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
      if (!run) return refuse("unauthorized", "The token is invalid or has been revoked.");
      if (request.headers.has("upgrade"))
        return failure("no_upgrade", "WebSockets are not available to agents: send the request by HTTP.");
      if (!isOpen(request.method, pathname))
        return refuse("not_found", `${request.method} ${pathname} is not open to agents.`);
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
      return refuse(
        "invalid",
        "What a request costs cannot be told from a compressed body: send it as it is.",
      );
    if (run.exhausted) {
      onRefused?.(run.exhausted.denied);
      return refusal(run, run.exhausted);
    }
    const length = Number(request.headers.get("content-length") ?? Number.NaN);
    if (!Number.isSafeInteger(length)) return refuse("no_length", "Content-Length is required.");
    if (run.waitingBytes + length > MAX_WAITING_BYTES)
      return refuse("too_many", "Too many large requests at the same time.");
    run.waitingBytes += length;
    let held = length;
    const release = () => {
      run.waitingBytes -= held;
      held = 0;
    };
    const signal = AbortSignal.any([request.signal, run.ended.signal]);
    let call: MeteredCall | undefined;
    let isSent = false;
    const end = (how: Parameters<MeteredCall["end"]>[0]) => {
      release();
      run.open.delete(abandon);
      if (call) track(run, call.end(how).catch(onUnsettled));
      call = undefined;
    };
    const abandon = () => end("broken");
    try {
      const body = await request.bytes();
      const beginning = run.meter.begin({ path, body, signal });
      track(run, beginning);
      const begun = await beginning;
      if ("denied" in begun) {
        release();
        return refusal(run, begun);
      }
      call = begun;
      run.open.add(abandon);
      const headers = forwardable(request.headers);
      headers.set(...keyHeader(apiKey.reveal()));
      // Events are forwarded as they arrive; a decoder would hold compressed ones back.
      headers.set("accept-encoding", "identity");
      // Redirects are not followed: the key is sent to `upstream` and nowhere else. Without `timeout`, Bun's fetch fails
      // after five minutes of silence, which a model may need before its first event.
      const init = { method: "POST", headers, body, signal, redirect: "manual" as const, timeout: false };
      signal.throwIfAborted();
      isSent = true;
      const response = await fetch(url, init);
      const { status, ok } = response;
      run.heard ||= ok;
      const wait = retryAfterMs(response.headers);
      begun.answered({ status, contentType: response.headers.get("content-type") ?? "", retryAfterMs: wait });
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
      const onEnd: typeof end = (how) => {
        run.answered ||= ok && how === "whole";
        end(how);
      };
      if (!response.body) {
        onEnd("whole");
        return new Response(null, { status, headers: headersBack });
      }
      const onError = (error: unknown) => {
        if (signal.aborted) return;
        run.trouble = { reason: "The model's API broke off its answer.", retryAfterMs: undefined };
        logger?.warn("the model's response was interrupted", { error: messageOf(error) });
      };
      const relayed = relay(response.body, { onChunk: begun.push, onError, onEnd });
      return new Response(relayed, { status, headers: headersBack });
    } catch (error) {
      // One that was sent may be on the bill, whether its answer comes or not.
      end(!isSent || (isUnsent(error) && !signal.aborted) ? "unreachable" : "broken");
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
      const why = { ...denied, denied: denied.denied };
      if (!run.exhausted) {
        run.answered = false;
        run.onExhausted?.(why);
      }
      run.exhausted = why;
    }
    if (denied.retryAfterMs !== undefined)
      run.trouble = { reason: denied.message, retryAfterMs: denied.retryAfterMs };
    else run.denied = denied;
    return deniedReply(failure, denied);
  }

  function onUnsettled(error: unknown): void {
    // It is counted as an estimate once its run has gone on or has ended.
    logger?.warn("what a model call has cost could not be stored", { error: messageOf(error) });
  }

  return {
    url: `http://127.0.0.1:${server.port}${basePath}`,
    port: server.port ?? 0,
    grant({ id, meter, token = `run-${randomBytes(32).toString("base64url")}`, onExhausted }) {
      const key = hashOf(token);
      const run: LiveRun = {
        ...{ id, meter, onExhausted, ended: new AbortController(), open: new Set(), settling: new Set() },
        ...{ answered: false, heard: false, denied: undefined, exhausted: undefined },
        ...{ trouble: undefined, waitingBytes: 0 },
      };
      runs.set(key, run);
      return {
        token,
        trouble: () => run.trouble && { ...run.trouble, isFirst: !run.heard },
        denied: () => (run.answered ? undefined : run.denied),
        async settled() {
          while (run.settling.size > 0) await Promise.all(run.settling);
        },
        revoke() {
          if (runs.delete(key)) endRun(run);
        },
      };
    },
    async close() {
      for (const run of runs.values()) endRun(run);
      runs.clear();
      await server.stop(true);
    },
  };
}

/** Ends its calls now: what they cost is known to be on its way when this returns, whoever still reads their answers. */
function endRun(run: LiveRun): void {
  run.ended.abort();
  for (const abandon of run.open) abandon();
}

/** Keeps work of a run's calls until it is done. */
function track(run: LiveRun, work: Promise<unknown>): void {
  const done = work.then(
    () => undefined,
    () => undefined,
  );
  run.settling.add(done);
  void done.then(() => run.settling.delete(done));
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
