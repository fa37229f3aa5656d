import { createHash, KeyObject } from "node:crypto";
import { type CryptoKey, errors, type JWTVerifyOptions, type JWTVerifyResult, jwtVerify } from "jose";
import type { AuthConfig } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import { setBounded } from "../shared/bounded-map.ts";
import { AppError } from "../shared/errors.ts";
import { requireAccessToken } from "./access-token.ts";
import { CLOCK_TOLERANCE_SECONDS, refusalOf, type TokenVerifier, type User, userOf } from "./claims.ts";
import { createKeySet, fingerprintOf } from "./key-set.ts";
import { openLocalIssuer } from "./local-issuer.ts";

export type { TokenVerifier, User } from "./claims.ts";

/** Public-key signatures only: `none` is unsigned, and with HS* a published key could sign. */
const ALGORITHMS = [
  ...["RS256", "RS384", "RS512"],
  ...["PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512"],
  "EdDSA",
];
/** In characters; longer than any header that servers accept. */
const MAX_TOKEN_LENGTH = 16_384;

const ANONYMOUS: User = Object.freeze({
  id: "local",
  roles: Object.freeze(["admin"]),
  expiresAt: Number.POSITIVE_INFINITY,
});

export interface VerifierOptions {
  config: AuthConfig;
  /** Absolute path of the folder with the local issuer's key. Only used in local mode. */
  dataDir: string;
  /** Milliseconds between two fetches caused by unknown keys. Default 5,000. */
  jwksCooldownMs?: number;
  /** Most verified tokens in the cache; the oldest is evicted first. Default 10,000. */
  cacheSize?: number;
  /** Called for each token that this process sees for the first time. */
  onSignIn?: (user: User) => void;
  /** Milliseconds since the epoch. */
  now?: () => number;
  logger?: Logger;
}

/**
 * The verifier of the configured mode. Fetches nothing before the first token.
 * @throws OperatorError when the local issuer's key can be neither read nor created.
 */
export function createVerifier(options: VerifierOptions): TokenVerifier {
  const { config, dataDir, jwksCooldownMs, cacheSize = 10_000, now = Date.now, logger, onSignIn } = options;
  const cache = { size: cacheSize, now, onSignIn };
  switch (config.mode) {
    case "none":
      return { anonymous: ANONYMOUS, verify: async () => ANONYMOUS, isTrusted: async () => true };
    case "local":
      return cached(openLocalIssuer({ dataDir, audience: config.audience, now }), cache);
    case "oidc":
      return cached(oidcVerifier(config, { jwksCooldownMs, now, logger }), cache);
  }
}

function oidcVerifier(
  { issuer, jwksUri, audience, tokenTypes, authorizedParties }: Extract<AuthConfig, { mode: "oidc" }>,
  {
    jwksCooldownMs,
    now,
    logger,
  }: { jwksCooldownMs: number | undefined; now: () => number; logger: Logger | undefined },
): TokenVerifier {
  const keys = createKeySet({ issuer, jwksUri, cooldownMs: jwksCooldownMs, now, logger });

  async function signed(token: string): Promise<JWTVerifyResult & { key: CryptoKey }> {
    const rules: JWTVerifyOptions = {
      // Configuration strips trailing slashes; some issuers' names end with one.
      issuer: [issuer, `${issuer}/`],
      audience,
      algorithms: ALGORITHMS,
      requiredClaims: ["exp", "sub"],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(now()),
    };
    try {
      return await jwtVerify(token, keys.keyOf, rules);
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      // The token does not say which of several keys signed it: try each.
      for await (const key of error) {
        try {
          return { ...(await jwtVerify(token, key, rules)), key };
        } catch (failed) {
          if (!(failed instanceof errors.JWSSignatureVerificationFailed)) throw failed;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  }

  return {
    async verify(token) {
      try {
        const { protectedHeader, payload, key } = await signed(token);
        requireAccessToken(protectedHeader, payload, { tokenTypes, authorizedParties });
        return userOf(payload, fingerprintOf(KeyObject.from(key)));
      } catch (error) {
        throw refusalOf(error, audience);
      }
    },
    async isTrusted({ keyFingerprint }) {
      const { fingerprints } = await keys.current();
      return keyFingerprint !== undefined && fingerprints.has(keyFingerprint);
    },
    ready: keys.current,
  };
}

/**
 * Caches verified tokens until they expire or their key is withdrawn, by hash, so that a memory dump does not contain them.
 * Refusals are never cached: the same token may become valid once its key is known or its `nbf` has passed.
 */
function cached(
  verifier: TokenVerifier,
  { size, now, onSignIn }: { size: number; now: () => number; onSignIn: ((user: User) => void) | undefined },
): TokenVerifier {
  const known = new Map<string, User>();
  return {
    ...verifier,
    async verify(token) {
      if (token.length > MAX_TOKEN_LENGTH) throw new AppError("unauthorized", "The token is too long.");
      const hash = createHash("sha256").update(token).digest("base64");
      const hit = known.get(hash);
      if (hit && now() < hit.expiresAt && (await verifier.isTrusted(hit))) return hit;
      known.delete(hash);
      const user = await verifier.verify(token);
      if (!hit) onSignIn?.(user);
      setBounded(known, hash, user, size);
      return user;
    },
  };
}
