import {
  type CryptoKey,
  createLocalJWKSet,
  errors,
  type FlattenedJWSInput,
  type JSONWebKeySet,
  type JWSHeaderParameters,
  type LocalJWKSet,
} from "jose";
import type { Logger } from "../observability/logger.ts";
import { setBounded } from "../shared/bounded-map.ts";
import { AppError } from "../shared/errors.ts";
import { sleep } from "../shared/time.ts";

export interface KeySetOptions {
  /** URL without a trailing slash. Its discovery document is used when `jwksUri` is undefined. */
  issuer: string;
  jwksUri: string | undefined;
  /** Milliseconds between two fetches caused by unknown keys; a token of a new key may wait that long. Default 5,000. */
  cooldownMs?: number | undefined;
  /** Milliseconds until known keys are refreshed in the background. Default 10 minutes. */
  freshMs?: number;
  /** Milliseconds that known keys stay in use while the issuer does not answer. Default 1 hour. */
  staleMs?: number;
  /** Timeout of one request to the issuer, in milliseconds. Default 5,000. */
  timeoutMs?: number;
  /** Milliseconds since the epoch. */
  now?: (() => number) | undefined;
  logger?: Logger | undefined;
}

/** Milliseconds between two attempts while no key is known yet: the service may start before its issuer. */
const FIRST_RETRY_MS = 5_000;
/** Most tokens with unknown keys that wait for the next fetch; further ones are refused with 503. */
const MAX_WAITING = 1_000;
/** Most unknown key ids that are remembered. */
const MAX_MISSED = 1_000;

/**
 * The issuer's public keys, fetched on first use. jose's own remote set is not used because it has no cooldown after a
 * failed fetch, and drops valid keys when a later fetch fails. Here a flood of unknown keys causes one fetch per cooldown
 * whatever the issuer answers, and a short outage of the issuer affects nobody whose key is known.
 *
 * The cooldown never refuses a token of a new key: a key counts as unknown only after a fetch that began after the key
 * was first seen. A token that arrives during the cooldown waits for the next fetch.
 * @returns jose's key resolver. It throws JWKSNoMatchingKey for a key that the issuer does not publish, and
 *   AppError `identity_provider_unavailable` when a fetch is needed and fails.
 */
export function createKeySet({
  issuer,
  jwksUri,
  cooldownMs = 5_000,
  freshMs = 600_000,
  staleMs = 3_600_000,
  timeoutMs = 5_000,
  now = Date.now,
  logger,
}: KeySetOptions): (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey> {
  let keys: LocalJWKSet | undefined;
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let attemptedAt = Number.NEGATIVE_INFINITY;
  let failure: AppError | undefined;
  let pending: Promise<LocalJWKSet> | undefined;
  /** When unknown keys last caused a fetch; the next such fetch, until it begins; the key ids that it looks for. */
  let lookedUpAt = Number.NEGATIVE_INFINITY;
  let nextLookup: Promise<LocalJWKSet> | undefined;
  let waiting = 0;
  const requestedKids = new Set<string>();
  /** Key ids that were not found, and when the fetch began. */
  const missed = new Map<string, number>();

  /** After the clock was set back everything is long ago, or nothing would be fetched until it caught up. */
  const elapsedSince = (moment: number) => (now() >= moment ? now() - moment : Number.POSITIVE_INFINITY);
  const mayFetch = (interval: number) => pending !== undefined || elapsedSince(attemptedAt) >= interval;

  function refresh(): Promise<LocalJWKSet> {
    pending ??= load().finally(() => {
      pending = undefined;
    });
    return pending;
  }

  async function load(): Promise<LocalJWKSet> {
    attemptedAt = now();
    const kids = [...requestedKids];
    requestedKids.clear();
    try {
      const uri = jwksUri ?? (await discover());
      keys = createLocalJWKSet(await getJson<JSONWebKeySet>(uri));
      fetchedAt = now();
      failure = undefined;
      for (const kid of kids) rememberMissed(kid);
      return keys;
    } catch (error) {
      failure = new AppError(
        "identity_provider_unavailable",
        "The identity provider is not available; try again in a moment.",
        { cause: error },
      );
      logger?.warn("fetching the issuer's keys failed", { issuer, jwksUri, error });
      throw failure;
    }
  }

  /** On every fetch, not cached: the issuer may move its keys, and fetches are rare. */
  async function discover(): Promise<string> {
    const document = await getJson<{ issuer?: unknown; jwks_uri?: unknown }>(
      `${issuer}/.well-known/openid-configuration`,
    );
    const { issuer: documentIssuer, jwks_uri: uri } = document;
    if (typeof documentIssuer !== "string" || documentIssuer.replace(/\/+$/, "") !== issuer)
      throw new Error(`the discovery document names another issuer: ${JSON.stringify(documentIssuer)}`);
    const protocol = typeof uri === "string" ? URL.parse(uri)?.protocol : undefined;
    if (typeof uri !== "string" || (protocol !== "https:" && protocol !== new URL(issuer).protocol))
      throw new Error(`the discovery document's jwks_uri is not valid: ${JSON.stringify(uri)}`);
    return uri;
  }

  /** Callers check the shape; `createLocalJWKSet` checks its own. */
  async function getJson<T extends object>(url: string): Promise<T> {
    const response = await fetch(url, {
      headers: { accept: "application/json" },
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
    const body: unknown = await response.json();
    if (typeof body !== "object" || body === null) throw new Error(`${url} did not return a JSON object`);
    return body as T;
  }

  async function currentKeys(): Promise<LocalJWKSet> {
    if (keys && elapsedSince(fetchedAt) < staleMs) {
      // Not awaited: known keys serve meanwhile, and `load` logs and keeps a failure.
      if (elapsedSince(fetchedAt) >= freshMs && mayFetch(cooldownMs)) refresh().catch(() => undefined);
      return keys;
    }
    if (failure && !mayFetch(Math.min(cooldownMs, FIRST_RETRY_MS))) throw failure;
    return refresh();
  }

  const rememberMissed = (kid: string) => setBounded(missed, kid, attemptedAt, MAX_MISSED);

  /** The keys of the next fetch, which has not begun yet. */
  async function lookUp(kid: string): Promise<LocalJWKSet> {
    if (waiting >= MAX_WAITING)
      throw new AppError(
        "identity_provider_unavailable",
        "Too many tokens with unknown keys; try again in a moment.",
      );
    requestedKids.add(kid);
    nextLookup ??= (async () => {
      const rest = cooldownMs - elapsedSince(lookedUpAt);
      if (rest > 0) await sleep(rest);
      // A fetch that began earlier may lack the key.
      await pending?.catch(() => undefined);
      nextLookup = undefined;
      lookedUpAt = now();
      return refresh();
    })();
    waiting += 1;
    try {
      return await nextLookup;
    } finally {
      waiting -= 1;
    }
  }

  return async (header, token) => {
    const kid = header.kid ?? "";
    let unknown: unknown;
    const find = async (held: LocalJWKSet): Promise<CryptoKey | undefined> => {
      try {
        return await held(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        unknown = error;
        return undefined;
      }
    };

    const known = await find(await currentKeys());
    if (known) return known;
    // A fetch in progress may bring it.
    const arriving = pending && (await find(await pending));
    if (arriving) return arriving;
    // While the issuer is unreachable the key may be a new one of its own: 503, not 401.
    if (failure && !mayFetch(cooldownMs)) throw failure;
    if (elapsedSince(missed.get(kid) ?? Number.NEGATIVE_INFINITY) < cooldownMs) throw unknown;
    const found = await find(await lookUp(kid));
    if (found) return found;
    throw unknown;
  };
}
