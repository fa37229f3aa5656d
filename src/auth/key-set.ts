import { createHash, createPublicKey, type KeyObject } from "node:crypto";
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
import { fetchDiscovery, getJson } from "./discovery.ts";

export interface KeySetOptions {
  /** URL without a trailing slash. Its discovery document is used when `jwksUri` is undefined. */
  issuer: string;
  jwksUri: string | undefined;
  /** Milliseconds between two fetches caused by unknown keys; a token of a new key may wait that long. Default 5,000. */
  cooldownMs?: number | undefined;
  /** Milliseconds after which the next use fetches the keys again, beside it. Default 30,000. */
  freshMs?: number;
  /**
   * Milliseconds after which a use waits for that fetch: for so long a key may be used that the issuer has withdrawn, while
   * the issuer answers. Default 60,000.
   */
  maxAgeMs?: number;
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

/** What the issuer publishes. */
export interface PublishedKeys {
  /** jose's own resolver. */
  find: LocalJWKSet;
  /** `fingerprintOf` each. */
  fingerprints: ReadonlySet<string>;
}

export interface KeySet {
  /**
   * jose's key resolver.
   * @throws JWKSNoMatchingKey for a key that the issuer does not publish; AppError `identity_provider_unavailable` when a
   *   fetch is needed and fails.
   */
  keyOf(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey>;
  /** The keys in use. @throws AppError `identity_provider_unavailable` while there are none. */
  current(): Promise<PublishedKeys>;
}

/** Tells keys apart, whatever their names: the hash of the public key itself. */
export const fingerprintOf = (key: KeyObject): string =>
  createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("base64url");

/**
 * The issuer's public keys, fetched on first use, and again by uses only: without requests the issuer is left alone, and
 * however many there are, it is asked twice a minute. jose's own remote set is not used because it has no cooldown after a
 * failed fetch, and drops valid keys when a later fetch fails. Here a flood of unknown keys causes one fetch per cooldown
 * whatever the issuer answers, and a short outage of the issuer affects nobody whose key is known.
 *
 * The cooldown never refuses a token of a new key: a key counts as unknown only after a fetch that began after the key
 * was first seen. A token that arrives during the cooldown waits for the next fetch.
 */
export function createKeySet({
  issuer,
  jwksUri,
  cooldownMs = 5_000,
  freshMs = 30_000,
  maxAgeMs = 60_000,
  staleMs = 3_600_000,
  timeoutMs = 5_000,
  now = Date.now,
  logger,
}: KeySetOptions): KeySet {
  let keys: PublishedKeys | undefined;
  /** When the fetch that brought them began; when the last fetch of all began, and when the last one failed. */
  let keysOf = Number.NEGATIVE_INFINITY;
  let attemptedAt = Number.NEGATIVE_INFINITY;
  let failedAt = Number.NEGATIVE_INFINITY;
  /** Of the last fetch. */
  let failure: AppError | undefined;
  let pending: Promise<PublishedKeys> | undefined;
  /** When unknown keys last caused a fetch; the next such fetch, until it begins; the key ids that it looks for. */
  let lookedUpAt = Number.NEGATIVE_INFINITY;
  let nextLookup: Promise<PublishedKeys> | undefined;
  let waiting = 0;
  const requestedKids = new Set<string>();
  /** Key ids that were not found, and when the fetch began. */
  const missed = new Map<string, number>();

  /** After the clock was set back everything is long ago, or nothing would be fetched until it caught up. */
  const elapsedSince = (moment: number) => (now() >= moment ? now() - moment : Number.POSITIVE_INFINITY);
  const mayFetch = (interval: number) => pending !== undefined || elapsedSince(attemptedAt) >= interval;

  function refresh(): Promise<PublishedKeys> {
    pending ??= load().finally(() => {
      pending = undefined;
    });
    return pending;
  }

  async function load(): Promise<PublishedKeys> {
    attemptedAt = now();
    const kids = [...requestedKids];
    requestedKids.clear();
    try {
      const uri = jwksUri ?? (await discover());
      keys = published(await getJson<JSONWebKeySet>(uri, timeoutMs));
      keysOf = attemptedAt;
      failure = undefined;
      for (const kid of kids) rememberMissed(kid);
      return keys;
    } catch (error) {
      failure = new AppError(
        "identity_provider_unavailable",
        "The identity provider is not available; try again in a moment.",
        { cause: error },
      );
      failedAt = now();
      logger?.warn("fetching the issuer's keys failed", { issuer, jwksUri, error });
      throw failure;
    }
  }

  /** On every fetch, not cached: the issuer may move its keys, and fetches are rare. */
  async function discover(): Promise<string> {
    const { jwks_uri: uri } = await fetchDiscovery({ issuer, timeoutMs });
    const protocol = typeof uri === "string" ? URL.parse(uri)?.protocol : undefined;
    if (typeof uri !== "string" || (protocol !== "https:" && protocol !== new URL(issuer).protocol))
      throw new Error(`the discovery document's jwks_uri is not valid: ${JSON.stringify(uri)}`);
    return uri;
  }

  async function current(): Promise<PublishedKeys> {
    const held = keys;
    const age = elapsedSince(keysOf);
    if (held && age < staleMs) {
      if (age < freshMs || !mayFetch(cooldownMs)) return held;
      // `load` logs and keeps a failure.
      const fetched = refresh().catch(() => held);
      // While the issuer fails, or hangs, nobody waits for it but one request now and then.
      return age >= maxAgeMs && elapsedSince(failedAt) >= freshMs ? fetched : held;
    }
    if (failure && !mayFetch(Math.min(cooldownMs, FIRST_RETRY_MS))) throw failure;
    return refresh();
  }

  const rememberMissed = (kid: string) => setBounded(missed, kid, attemptedAt, MAX_MISSED);

  /** The keys of the next fetch, which has not begun yet. */
  async function lookUp(kid: string): Promise<PublishedKeys> {
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

  async function keyOf(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> {
    const kid = header.kid ?? "";
    let unknown: unknown;
    const find = async (held: PublishedKeys): Promise<CryptoKey | undefined> => {
      try {
        return await held.find(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        unknown = error;
        return undefined;
      }
    };

    const known = await find(await current());
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
  }

  return { keyOf, current };
}

function published(set: JSONWebKeySet): PublishedKeys {
  const find = createLocalJWKSet(set);
  const fingerprints = new Set<string>();
  for (const key of set.keys)
    try {
      fingerprints.add(fingerprintOf(createPublicKey({ key, format: "jwk" })));
    } catch {
      // Of a kind that signs nothing here, such as a symmetric one.
    }
  return { find, fingerprints };
}
