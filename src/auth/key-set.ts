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
import { AppError } from "../shared/errors.ts";

export interface KeySetOptions {
  /** Without a trailing slash. Asked for its discovery document when `jwksUri` is undefined. */
  issuer: string;
  jwksUri: string | undefined;
  /** Milliseconds between two fetches that unknown keys cause; so long may a token of a new key wait. Default 5,000. */
  cooldownMs?: number | undefined;
  /** Milliseconds until known keys are fetched again behind the requests' back. Default 10 minutes. */
  freshMs?: number;
  /** Milliseconds that known keys stay in use while the issuer does not answer. Default 1 hour. */
  staleMs?: number;
  /** Milliseconds that one answer of the issuer may take. Default 5,000. */
  timeoutMs?: number;
  /** Milliseconds since the epoch. */
  now?: (() => number) | undefined;
  logger?: Logger | undefined;
}

/** Milliseconds between two attempts while no key is known at all: a service that starts before its issuer. */
const FIRST_RETRY_MS = 5_000;
/** Tokens of unknown keys that may wait for the next fetch; whoever comes on top is told to come again. */
const MAX_WAITING = 1_000;
/** Unknown keys that are remembered. */
const MAX_MISSED = 1_000;

/**
 * The issuer's public keys, fetched on first use. jose's own remote set is not used because it does not cool
 * down after a failed fetch, and forgets good keys when a later fetch fails: here a flood of unknown keys
 * causes one fetch per cooldown whatever the issuer answers, and an issuer's short outage stops nobody whose key is known.
 *
 * No token of a new key is refused because of the cooldown: a key counts as unknown only after a fetch that began
 * after it was first seen. A token that comes during the cooldown waits for the next one.
 * @returns jose's key resolver. It throws JWKSNoMatchingKey for a key that the issuer does not publish, and
 *   AppError `unavailable` when the issuer must be asked and does not answer.
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
  /** When unknown keys last caused a fetch; the next such fetch, as long as it has not begun; what it is to look for. */
  let soughtAt = Number.NEGATIVE_INFINITY;
  let sought: Promise<LocalJWKSet> | undefined;
  let waiting = 0;
  const wanted = new Set<string>();
  /** Keys that were looked for and not found, and when. */
  const missed = new Map<string, number>();

  /** A clock that was set back counts as "long ago", or nothing would be fetched until it caught up. */
  const since = (moment: number) => (now() >= moment ? now() - moment : Number.POSITIVE_INFINITY);
  const mayFetch = (interval: number) => pending !== undefined || since(attemptedAt) >= interval;

  function refresh(): Promise<LocalJWKSet> {
    pending ??= load().finally(() => {
      pending = undefined;
    });
    return pending;
  }

  async function load(): Promise<LocalJWKSet> {
    attemptedAt = now();
    const looked = [...wanted];
    wanted.clear();
    try {
      const uri = jwksUri ?? (await discover());
      keys = createLocalJWKSet(await getJson<JSONWebKeySet>(uri));
      fetchedAt = now();
      failure = undefined;
      for (const kid of looked) remember(kid);
      return keys;
    } catch (error) {
      failure = new AppError(
        "identity_provider_unavailable",
        "The identity provider does not answer as it should; try again in a moment.",
        { cause: error },
      );
      logger?.warn("the issuer's keys could not be fetched", { issuer, jwksUri, error });
      throw failure;
    }
  }

  /** Asked at every fetch, not kept: an issuer that moves its keys is followed, and fetches are rare. */
  async function discover(): Promise<string> {
    const document = await getJson<{ issuer?: unknown; jwks_uri?: unknown }>(
      `${issuer}/.well-known/openid-configuration`,
    );
    const { issuer: named, jwks_uri: uri } = document;
    if (typeof named !== "string" || named.replace(/\/+$/, "") !== issuer)
      throw new Error(`the discovery document is of another issuer: ${JSON.stringify(named)}`);
    const protocol = typeof uri === "string" ? URL.parse(uri)?.protocol : undefined;
    if (typeof uri !== "string" || (protocol !== "https:" && protocol !== new URL(issuer).protocol))
      throw new Error(`the discovery document's jwks_uri is not usable: ${JSON.stringify(uri)}`);
    return uri;
  }

  /** The shape is the caller's to check; `createLocalJWKSet` checks its own. */
  async function getJson<T extends object>(url: string): Promise<T> {
    const response = await fetch(url, {
      headers: { accept: "application/json" },
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
    const body: unknown = await response.json();
    if (typeof body !== "object" || body === null) throw new Error(`${url} did not answer a JSON object`);
    return body as T;
  }

  async function usable(): Promise<LocalJWKSet> {
    if (keys && since(fetchedAt) < staleMs) {
      // Not awaited: known keys serve meanwhile, and `load` has logged and kept a failure.
      if (since(fetchedAt) >= freshMs && mayFetch(cooldownMs)) refresh().catch(() => undefined);
      return keys;
    }
    if (failure && !mayFetch(Math.min(cooldownMs, FIRST_RETRY_MS))) throw failure;
    return refresh();
  }

  function remember(kid: string): void {
    missed.delete(kid);
    missed.set(kid, attemptedAt);
    for (const oldest of missed.keys()) {
      if (missed.size <= MAX_MISSED) break;
      missed.delete(oldest);
    }
  }

  /** The keys of a fetch that has not begun yet. */
  async function seek(kid: string): Promise<LocalJWKSet> {
    if (waiting >= MAX_WAITING)
      throw new AppError(
        "identity_provider_unavailable",
        "Too many tokens with unknown keys; try again in a moment.",
      );
    wanted.add(kid);
    sought ??= (async () => {
      const rest = cooldownMs - since(soughtAt);
      await (rest > 0 ? Bun.sleep(rest) : undefined);
      // One that began earlier may lack the key.
      await pending?.catch(() => undefined);
      sought = undefined;
      soughtAt = now();
      return refresh();
    })();
    waiting += 1;
    try {
      return await sought;
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

    const known = await find(await usable());
    if (known) return known;
    // A fetch that is under way may bring it.
    const arriving = pending && (await find(await pending));
    if (arriving) return arriving;
    // While the issuer is out of reach nobody can say that the key is not its own: 503, not 401.
    if (failure && !mayFetch(cooldownMs)) throw failure;
    if (since(missed.get(kid) ?? Number.NEGATIVE_INFINITY) < cooldownMs) throw unknown;
    const found = await find(await seek(kid));
    if (found) return found;
    throw unknown;
  };
}
