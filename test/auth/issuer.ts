import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { AppError } from "../../src/shared/errors.ts";

export const AUDIENCE = "prompt-backend";

export interface SigningKey {
  kid: string;
  alg: string;
  privateKey: CryptoKey;
  publicKey: CryptoKey;
}

export async function makeKey(kid: string, alg: string): Promise<SigningKey> {
  return { kid, alg, ...(await generateKeyPair(alg, { extractable: true })) };
}

/** An OIDC issuer on loopback: discovery, keys that can be rotated, and request counts. */
export async function startIssuer(...initial: SigningKey[]) {
  const requests = { discovery: 0, jwks: 0 };
  let keys: JWK[] = [];
  let broken: ((pathname: string, keys: JWK[]) => Response) | undefined;
  let named: string | undefined;
  let keysAt: string | undefined;

  const publish = async (...published: SigningKey[]) => {
    keys = await Promise.all(
      published.map(async ({ kid, alg, publicKey }) => ({
        ...(await exportJWK(publicKey)),
        kid,
        alg,
        use: "sig",
      })),
    );
  };
  await publish(...initial);
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request): Response {
      const { pathname } = new URL(request.url);
      const discovery = pathname === "/.well-known/openid-configuration";
      requests[discovery ? "discovery" : "jwks"]++;
      if (broken) return broken(pathname, keys);
      if (discovery) return Response.json({ issuer: named ?? url, jwks_uri: keysAt ?? `${url}/keys` });
      return Response.json({ keys });
    },
  });
  const url: string = `http://127.0.0.1:${server.port}`;

  return {
    url,
    requests,
    publish,
    published: () => keys,
    publishRaw: (raw: JWK[]) => {
      keys = raw;
    },
    break: (answer?: typeof broken) => {
      broken = answer;
    },
    misname: (issuer: string) => {
      named = issuer;
    },
    moveKeys: (uri: string) => {
      keysAt = uri;
    },
    config: {
      mode: "oidc",
      issuer: url,
      jwksUri: undefined,
      audience: AUDIENCE,
      tokenTypes: ["Bearer", "JWT", "at+jwt"],
      authorizedParties: undefined,
      client: undefined,
    } as const,
    stop: () => server.stop(true),
    /** A token that is valid for an hour, except for the overridden claims; `undefined` omits a claim. */
    token(key: SigningKey, claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}) {
      const now = Math.floor(Date.now() / 1000);
      const all = { iss: url, aud: AUDIENCE, sub: "alice", iat: now, exp: now + 3600, ...claims };
      return new SignJWT(all)
        .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
        .sign(key.privateKey);
    },
  };
}

/** The AppError that a promise rejects with. @throws otherwise, which fails the test. */
export async function refusal(
  promise: Promise<unknown>,
): Promise<{ kind: string; code: string; message: string }> {
  try {
    await promise;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const { kind, code, message } = error;
    return { kind, code, message };
  }
  throw new Error("expected a refusal");
}
