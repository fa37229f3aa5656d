import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { jwt } from "@elysiajs/jwt";
import { jwtVerify } from "jose";
import { AppError, messageOf, OperatorError } from "../shared/errors.ts";
import { openPrivateFile } from "../shared/private-file.ts";
import { Secret } from "../shared/secret.ts";
import { CLOCK_TOLERANCE_SECONDS, problemOfName, refusalOf, type TokenVerifier, userOf } from "./claims.ts";

const LOCAL_ISSUER = "prompt-backend-local";
export const LOCAL_TOKEN_DAYS = 30;
const ALGORITHM = "HS256";
const KEY_FILE = "local-issuer.key";
const KEY_BYTES = 32;

/** Whoever can read a sign-in link can read the key as well: this machine is theirs. */
const OWNER = { user: "me", roles: ["admin"] } as const;
export const SIGN_IN_MINUTES = 10;
const CODE = /^([0-9a-z]{1,9})\.([A-Za-z0-9_-]{22})\.([0-9a-f]{64})$/;
const NONCE_BYTES = 16;

export interface LocalIssuer extends TokenVerifier {
  /** Absolute path of the key. */
  readonly keyFile: string;
  /**
   * Issues a token that is valid for 30 days.
   * @throws OperatorError (exit code 2) for an unusable user or role name.
   */
  issue(claims: { user: string; roles: readonly string[] }): Promise<string>;
  /** Issues the code of a link that signs a browser of this machine in, as its owner. It is valid for 10 minutes. */
  issueSignInCode(): string;
  /**
   * Exchanges the code for a token of this machine's owner. That it was not used before is for the caller to see to.
   * @returns until when the code would be valid.
   * @throws AppError `sign_in_code_invalid`
   */
  exchangeSignInCode(code: string): Promise<{ token: string; expiresAt: Date }>;
}

/**
 * Signs and verifies this service's own tokens, with a secret key in DATA_DIR that is generated on first use. All
 * processes on the directory get the same key, also when they open it at the same time. No lock is held.
 * @throws OperatorError when the key can be neither read nor created.
 */
export function openLocalIssuer({
  dataDir,
  audience,
  now = Date.now,
}: {
  dataDir: string;
  audience: string;
  /** Milliseconds since the epoch. */
  now?: () => number;
}): LocalIssuer {
  const keyFile = join(dataDir, KEY_FILE);
  const secret = openKey(dataDir, keyFile);
  const codeKey = new Secret(Buffer.from(secret).toString("hex"));
  const signatureOf = (until: string, nonce: string) =>
    codeKey.sign("prompt-backend sign-in link ", until, ".", nonce);
  const signer = jwt({ name: "jwt", secret, alg: ALGORITHM, iss: LOCAL_ISSUER, aud: audience }).decorator.jwt;

  async function issue({ user, roles }: { user: string; roles: readonly string[] }): Promise<string> {
    for (const [what, name] of [["user", user] as const, ...roles.map((role) => ["role", role] as const)]) {
      const problem = problemOfName(name);
      if (problem) throw new OperatorError(`The ${what}'s name ${problem}.`, 2);
    }
    const exp = Math.floor(now() / 1000) + LOCAL_TOKEN_DAYS * 86_400;
    return signer.sign({ sub: user, roles: [...new Set(roles)], exp });
  }

  return {
    keyFile,
    issue,
    issueSignInCode() {
      const until = (Math.floor(now() / 1000) + SIGN_IN_MINUTES * 60).toString(36);
      const nonce = randomBytes(NONCE_BYTES).toString("base64url");
      return `${until}.${nonce}.${signatureOf(until, nonce).reveal()}`;
    },
    async exchangeSignInCode(code) {
      const [, until = "", nonce = "", signature = ""] = CODE.exec(code) ?? [];
      const expiresAt = new Date(Number.parseInt(until, 36) * 1000);
      if (!signatureOf(until, nonce).equals(signature) || expiresAt.getTime() <= now())
        throw new AppError(
          "sign_in_code_invalid",
          `This link is not valid, or older than ${SIGN_IN_MINUTES} minutes. \`prompt-backend open\` makes another one.`,
        );
      return { token: await issue(OWNER), expiresAt };
    },
    async verify(token) {
      // Not the plugin's own verify: it accepts any HMAC algorithm and returns `false` without a reason.
      try {
        const { payload } = await jwtVerify(token, secret, {
          algorithms: [ALGORITHM],
          issuer: LOCAL_ISSUER,
          audience,
          requiredClaims: ["exp", "sub"],
          clockTolerance: CLOCK_TOLERANCE_SECONDS,
          currentDate: new Date(now()),
        });
        return userOf(payload);
      } catch (error) {
        throw refusalOf(error, audience);
      }
    },
    isTrusted: async () => true,
  };
}

function openKey(dataDir: string, keyFile: string): Uint8Array {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    // Whoever reads it can act as any user.
    const text = openPrivateFile(keyFile, () => `${randomBytes(KEY_BYTES).toString("hex")}\n`);
    if (/^[0-9a-f]+\n?$/.test(text) && text.trim().length === KEY_BYTES * 2)
      return Buffer.from(text.trim(), "hex");
  } catch (error) {
    throw new OperatorError(
      `The local issuer's key ${keyFile} cannot be used: ${messageOf(error)}. Check that this user owns DATA_DIR and can write to it.`,
      1,
      { cause: error },
    );
  }
  throw new OperatorError(
    `The local issuer's key ${keyFile} is damaged. Restore it, or delete it: a new one is generated, and every token issued so far becomes invalid.`,
  );
}
