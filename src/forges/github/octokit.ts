import { createAppAuth } from "@octokit/auth-app";
import { Octokit } from "@octokit/core";
import { retry } from "@octokit/plugin-retry";
import { throttling } from "@octokit/plugin-throttling";
import type { ForgeHost } from "../../config/forge-hosts.ts";
import type { Secret } from "../../shared/secret.ts";
import { createForgeFetch } from "../bounded-fetch.ts";
import { ForgeError } from "../forge.ts";
import { REPLY_HEADERS } from "./github-errors.ts";

/** Repetitions of a read that failed by the network or the host. A write may have been done, and is not repeated. */
const READ_RETRIES = 2;
/** The longest wait for a rate limit that a request sits out, seconds. */
const LIMIT_WAIT_S = 10;
/** GitHub's advice where a secondary limit does not say how long it lasts, seconds. */
const SECONDARY_WAIT_S = 60;
const API_VERSION = "2022-11-28";

/** How requests sign in: as the app itself, which may only ask for tokens, or with a token; undefined: not at all. */
export type GithubIdentity = { appId: string; privateKey: Secret } | { token: Secret } | undefined;

/**
 * Octokit's hooks around every request. It comes before the plugins that retry, which then see the failures as this throws
 * them, and retry none of these: what has been cancelled, what was out of bounds, and failed writes.
 */
function bounds(octokit: Octokit, options: { request?: { signal?: AbortSignal } }) {
  const { signal } = options.request ?? {};
  octokit.hook.before("request", (request) => {
    // An object of its own for each request: the plugins count their retries in it. A number of retries is set for writes
    // alone, since where there is one, whatever fails is repeated.
    request.request = { ...request.request, ...(request.method !== "GET" && { retries: 0 }) };
  });
  octokit.hook.error("request", (error) => {
    signal?.throwIfAborted();
    throw error.cause instanceof ForgeError ? error.cause : error;
  });
  return {};
}

const GithubClient = Octokit.plugin(bounds, retry, throttling);

/** A client for the requests of one call of the seam; `signal` ends them all. It prints nothing. */
export function openOctokit(host: ForgeHost, identity: GithubIdentity, signal: AbortSignal): Octokit {
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const waits = (seconds: number, _request: unknown, _octokit: unknown, retryCount: number) =>
    seconds <= LIMIT_WAIT_S && retryCount < 1;
  return new GithubClient({
    baseUrl: host.apiUrl,
    userAgent: "prompt-backend",
    log,
    request: {
      log,
      signal,
      fetch: createForgeFetch({
        apiUrl: host.apiUrl,
        headers: { "x-github-api-version": API_VERSION },
        replyHeaders: REPLY_HEADERS,
        signal,
      }),
    },
    // The plugin keeps the pace that GitHub asks of writers for all clients of one id.
    throttle: {
      id: host.apiUrl,
      onRateLimit: waits,
      onSecondaryRateLimit: waits,
      fallbackSecondaryRateRetryAfter: SECONDARY_WAIT_S,
    },
    retry: { retries: READ_RETRIES, doNotRetry: Array.from({ length: 100 }, (_, index) => 400 + index) },
    ...(identity && "token" in identity && { auth: identity.token.reveal() }),
    ...(identity &&
      "appId" in identity && {
        authStrategy: createAppAuth,
        auth: { appId: identity.appId, privateKey: identity.privateKey.reveal(), log },
      }),
  });
}
