import { isSecret } from "./secrets.ts";

/** Browsers accept names with this prefix only with Secure and Path=/, and from no other host. */
const HOST_PREFIX = "__Host-";
const SESSION = "prompt_backend";

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

function readCookie(request: Request, name: string): string | undefined {
  const pairs = (request.headers.get("cookie") ?? "").split(";").map((one) => one.trim());
  return pairs.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
}

const cookie = (name: string, value: string, own: URL, maxAgeS: number, sameSite: "Strict" | "Lax") =>
  `${name}=${value}; Path=/; HttpOnly; SameSite=${sameSite}; Max-Age=${maxAgeS}${own.protocol === "https:" ? "; Secure" : ""}`;
