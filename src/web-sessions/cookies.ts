import { isSecret } from "./secrets.ts";

/** Browsers accept names with this prefix only with Secure and Path=/, and from no other host. */
const HOST_PREFIX = "__Host-";
const SESSION = "prompt_backend";
const SIGN_IN = "prompt_backend_sign_in";
/** Seconds that a person has at the identity provider. */
const SIGN_IN_S = 600;

/**
 * Browsers send the cookies of a host to all of its ports. Without https, where this is one of several services of a
 * machine, the name has the port, so that they do not sign each other out.
 */
const nameOf = (base: string, own: URL): string =>
  own.protocol === "https:" ? `${HOST_PREFIX}${base}` : `${base}_${own.port || 80}`;

/** The secret in the cookie of a request; undefined without a well-formed one. */
export function readSecret(request: Request, own: URL): string | undefined {
  const secret = readCookie(request, nameOf(SESSION, own));
  return secret !== undefined && isSecret(secret) ? secret : undefined;
}

/** A Set-Cookie. SameSite=Strict: not even a link from elsewhere brings it. @param maxAgeS 0 removes the cookie. */
export const secretCookie = (secret: string, own: URL, maxAgeS: number): string =>
  cookie(nameOf(SESSION, own), secret, own, maxAgeS, "Strict");

/** A sign-in that has begun in a browser. */
export interface StartedSignIn {
  secret: string;
  returnTo: string;
}

/** The sign-in that this browser has begun last. */
export function readSignIn(request: Request, own: URL): StartedSignIn | undefined {
  const [secret = "", returnTo = ""] = (readCookie(request, nameOf(SIGN_IN, own)) ?? "").split(".");
  return isSecret(secret) ? { secret, returnTo: Buffer.from(returnTo, "base64url").toString() } : undefined;
}

/**
 * A Set-Cookie. SameSite=Lax: the identity provider sends the browser back, which is a navigation from another site.
 * @param started undefined removes the cookie.
 */
export function signInCookie(started: StartedSignIn | undefined, own: URL): string {
  const value = started ? `${started.secret}.${Buffer.from(started.returnTo).toString("base64url")}` : "";
  return cookie(nameOf(SIGN_IN, own), value, own, started ? SIGN_IN_S : 0, "Lax");
}

function readCookie(request: Request, name: string): string | undefined {
  const pairs = (request.headers.get("cookie") ?? "").split(";").map((one) => one.trim());
  return pairs.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
}

const cookie = (name: string, value: string, own: URL, maxAgeS: number, sameSite: "Strict" | "Lax") =>
  `${name}=${value}; Path=/; HttpOnly; SameSite=${sameSite}; Max-Age=${maxAgeS}${own.protocol === "https:" ? "; Secure" : ""}`;
