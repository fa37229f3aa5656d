import type { JWTPayload } from "jose";
import { AppError } from "../shared/errors.ts";

/** Which of an issuer's tokens open this service. */
export interface AccessTokenRules {
  /** Accepted values of `typ`, in any case. */
  tokenTypes: readonly string[];
  /** Accepted clients; undefined: all. */
  authorizedParties: readonly string[] | undefined;
}

/** Types that are never access tokens, whatever is configured: Keycloak's names, and the registered ones. */
const OTHER_KINDS: Readonly<Record<string, string>> = {
  id: "an ID token",
  "id+jwt": "an ID token",
  refresh: "a refresh token",
  offline: "a refresh token",
  "rt+jwt": "a refresh token",
  logout: "a logout token",
  "logout+jwt": "a logout token",
  "secevent+jwt": "a security event",
};

/**
 * Refuses tokens that the issuer has signed for another purpose: an ID token tells a client who has signed in, and travels
 * through browsers and logs; a logout token is sent to every client of a session.
 * @throws AppError `unauthorized`
 */
export function requireAccessToken(
  header: { typ?: unknown },
  payload: JWTPayload,
  { tokenTypes, authorizedParties }: AccessTokenRules,
): void {
  const accepted = tokenTypes.map(typeOf);
  for (const typ of [header.typ, payload["typ"]]) {
    if (typ === undefined) continue;
    if (typeof typ !== "string") refuse('The token\'s "typ" must be text.');
    const other = OTHER_KINDS[typeOf(typ)];
    if (other !== undefined) refuse(`This is ${other}; send the access token.`);
    if (!accepted.includes(typeOf(typ)))
      refuse(
        `Tokens of the type ${JSON.stringify(typ.slice(0, 40))} are not accepted; send an access token.`,
      );
  }
  if ("at_hash" in payload || "c_hash" in payload) refuse("This is an ID token; send the access token.");
  if ("events" in payload) refuse("This is a logout token or another event; send the access token.");
  requireParty(payload, authorizedParties);
}

/** The client that the token was issued to: `azp` of OpenID Connect, `client_id` of RFC 9068. */
function requireParty(payload: JWTPayload, authorized: readonly string[] | undefined): void {
  const parties = [payload["azp"], payload["client_id"]].filter((one) => one !== undefined);
  if (parties.some((one) => typeof one !== "string" || one === ""))
    refuse('The token\'s "azp" and "client_id" must be text.');
  // OpenID Connect, 3.1.3.7: of a token for several services it must be known which client it is for.
  if (parties.length === 0 && Array.isArray(payload.aud) && payload.aud.length > 1)
    refuse(
      'A token for several audiences needs "azp" or "client_id": let the issuer add one of them to access tokens, or issue them for this audience alone.',
    );
  if (authorized === undefined) return;
  if (parties.length === 0)
    refuse('The token has neither "azp" nor "client_id", and not every client is accepted.');
  if (!parties.every((one) => authorized.includes(one as string)))
    refuse("The token was issued to a client that this service does not accept.");
}

/** A media type may be written in full. */
const typeOf = (typ: string): string => typ.toLowerCase().replace(/^application\//, "");

function refuse(message: string): never {
  throw new AppError("unauthorized", message);
}
