import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";
import { Secret } from "../shared/secret.ts";

/** What a web session acts with. */
export interface Tokens {
  /** The bearer token, verified like any other. */
  access: string;
  refresh?: string;
  /** Of OpenID Connect: tells the provider whom it signs out. */
  id?: string;
}

/** 256 bits in base64url, without padding. */
const BYTES = 32;
const FORMAT = /^[A-Za-z0-9_-]{43}$/;
const CIPHER = "aes-256-gcm";
const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Everything of a web session is derived from a secret that its browser alone keeps, as a cookie: there is no key to
 * configure, every node reads the same, and the database opens nothing.
 */
export const newSecret = (): string => randomBytes(BYTES).toString("base64url");
export const isSecret = (text: string): boolean => FORMAT.test(text);

/** The id of the session in the database. */
export const idOf = (secret: string): string => createHash("sha256").update(secret).digest("hex");

/** What pages of ours send with writes. Other pages cannot know it: they can make the browser send the cookie, not read it. */
export const csrfTokenOf = (secret: string): Secret => new Secret(textOf(secret, "csrf token"));

/** What binds a sign-in with an identity provider to the browser that has begun it, derived from a secret of its own. */
export interface SignIn {
  state: string;
  nonce: string;
  /** Of PKCE. */
  verifier: string;
}

export const signInOf = (secret: string): SignIn => ({
  state: textOf(secret, "state"),
  nonce: textOf(secret, "nonce"),
  verifier: textOf(secret, "PKCE verifier"),
});

export function seal(tokens: Tokens, secret: string): string {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, derived(secret, "tokens"), iv);
  const text = Buffer.concat([cipher.update(JSON.stringify(tokens)), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), text]).toString("base64url");
}

/** Undefined if it was sealed with another secret, or changed. */
export function unseal(sealed: string, secret: string): Tokens | undefined {
  const bytes = Buffer.from(sealed, "base64url");
  try {
    const decipher = createDecipheriv(
      CIPHER,
      derived(secret, "tokens"),
      bytes.subarray(0, IV_BYTES),
      // Otherwise a tag that was cut to four bytes would do.
      { authTagLength: TAG_BYTES },
    );
    decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
    const text = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
    return JSON.parse(text.toString());
  } catch {
    return undefined;
  }
}

const textOf = (secret: string, purpose: string): string =>
  Buffer.from(derived(secret, purpose)).toString("base64url");

/** The secret has 256 random bits, so that HKDF needs no salt. */
const derived = (secret: string, purpose: string): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", secret, "", `prompt-backend web session: ${purpose}`, 32));
