import { errors, type JWTPayload } from "jose";
import { AppError } from "../shared/errors.ts";

/** The authenticated sender of a request. */
export interface User {
  /** The token's `sub`; `local` in none mode. */
  id: string;
  /** Display name from the token. */
  name?: string;
  /** From the token, as the issuer has it: perhaps never confirmed. */
  email?: string;
  /** The issuer says that the address was never confirmed: it may be somebody else's. */
  emailUnconfirmed?: true;
  roles: readonly string[];
  /** Milliseconds since the epoch; Infinity in none mode. A stream may outlive its token, so streams check this. */
  expiresAt: number;
  /** Of the issuer's key that signed the token; without an issuer, none. */
  keyFingerprint?: string;
  /** The id of the web session whose cookie came with the request; none if it had a token of its own. */
  webSession?: string;
}

export interface TokenVerifier {
  /**
   * @throws AppError `unauthorized` or `token_expired`, with the reason and never the token;
   *   `identity_provider_unavailable` while the issuer does not answer, so that clients retry instead of signing out.
   */
  verify(token: string): Promise<User>;
  /**
   * Whether the issuer still publishes the key that signed this user's token. True without an issuer.
   * @throws AppError `identity_provider_unavailable` once the issuer has not answered for too long.
   */
  isTrusted(user: User): Promise<boolean>;
  /** Rejects while no token can be verified, because the issuer's keys are unknown. Undefined without an issuer. */
  readonly ready?: () => Promise<unknown>;
  /** The user of every request. Only in none mode, which ignores tokens. */
  readonly anonymous?: User;
}

/** Allowed difference, in seconds, between the clocks of the issuer and of this machine. */
export const CLOCK_TOLERANCE_SECONDS = 5;

const MAX_NAME_LENGTH = 200;
/** OpenID Connect's own limit. */
const MAX_SUBJECT_LENGTH = 255;
/** Control characters and lone surrogates: PostgreSQL rejects some of them, terminals and logs interpret others. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u2028\u2029]/u;

/** The problem with a user's or a role's name, as the end of a sentence; undefined if there is none. */
export function problemOfName(name: string): string | undefined {
  if (name.trim() === "") return "must not be empty";
  if (name !== name.trim()) return "must not begin or end with white space";
  if (name.length > MAX_NAME_LENGTH) return `must not be longer than ${MAX_NAME_LENGTH} characters`;
  if (UNPRINTABLE.test(name)) return "must not contain control characters";
  return undefined;
}

/**
 * The user of a verified payload. Roles are Keycloak's `realm_access.roles` and a top-level `roles`.
 * @throws AppError `unauthorized` when `sub` or `exp` is unusable.
 */
export function userOf(payload: JWTPayload, keyFingerprint?: string): User {
  const { sub, exp } = payload;
  const named =
    typeof sub === "string" && sub !== "" && sub.length <= MAX_SUBJECT_LENGTH && !UNPRINTABLE.test(sub);
  if (!named || typeof exp !== "number")
    throw new AppError("unauthorized", 'The token\'s "sub" claim does not name a user.');
  const realm = payload["realm_access"];
  const realmRoles =
    typeof realm === "object" && realm !== null && "roles" in realm ? realm.roles : undefined;
  const roles = new Set([...namesIn(realmRoles), ...namesIn(payload["roles"])]);
  const [name] = [payload["name"], payload["preferred_username"]].filter(isPrintable);
  const [email] = [payload["email"]].filter(isPrintable);
  return Object.freeze({
    id: sub,
    ...(name !== undefined && { name }),
    ...(email !== undefined && { email }),
    ...(payload["email_verified"] === false && { emailUnconfirmed: true as const }),
    roles: Object.freeze([...roles]),
    expiresAt: exp * 1000,
    ...(keyFingerprint !== undefined && { keyFingerprint }),
  });
}

const isPrintable = (one: unknown): one is string =>
  typeof one === "string" && problemOfName(one) === undefined;

/** A person as git names one. */
export interface Author {
  name: string;
  email: string;
}

/** OpenID Connect says no more than that it is an address; a space or an angle bracket would be read as another one by git. */
const EMAIL = /^[^\s<>@\p{C}]+@[^\s<>@\p{C}]+$/u;
const MAX_EMAIL_LENGTH = 254;

/**
 * Who is named beside the agent in the commits that are made for this user. Undefined: the token has no usable e-mail, or
 * one that its issuer has not confirmed. Without a usable name, the name is the e-mail's local part.
 */
export function authorOf({ name, email, emailUnconfirmed }: Omit<User, "id" | "roles">): Author | undefined {
  if (email === undefined || emailUnconfirmed || email.length > MAX_EMAIL_LENGTH || !EMAIL.test(email))
    return undefined;
  const named = name !== undefined && !/[<>\p{C}]/u.test(name);
  return { name: named ? name : email.slice(0, email.indexOf("@")), email };
}

function namesIn(list: unknown): string[] {
  return Array.isArray(list) ? list.filter((one): one is string => typeof one === "string") : [];
}

/**
 * The error that the client gets for what a verification threw. An AppError passes unchanged. Unknown errors refuse
 * too: a bug in verification must never let anybody in.
 */
export function refusalOf(error: unknown, audience: string): AppError {
  if (error instanceof AppError) return error;
  return new AppError(
    error instanceof errors.JWTExpired ? "token_expired" : "unauthorized",
    sentenceOf(error, audience),
  );
}

function sentenceOf(error: unknown, audience: string): string {
  if (error instanceof errors.JWTExpired) return "The token has expired; sign in again.";
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.reason === "missing") return `The token has no ${JSON.stringify(error.claim)} claim.`;
    if (error.claim === "nbf") return "The token is not valid yet.";
    if (error.claim === "aud")
      return `The token is for another audience; this service expects ${JSON.stringify(audience)}.`;
    if (error.claim === "iss") return "The token comes from another issuer.";
    return `The token's ${JSON.stringify(error.claim)} claim is not valid.`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed)
    return "The token is signed with an algorithm that this service does not accept.";
  if (error instanceof errors.JWKSNoMatchingKey)
    return "The token is signed with an unknown key: its issuer does not publish it.";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "The token's signature is not valid.";
  return "The token is not a valid JWT.";
}
