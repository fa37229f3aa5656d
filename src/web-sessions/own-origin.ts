import type { Config } from "../config/config.ts";
import { AppError } from "../shared/errors.ts";

type OriginConfig = Pick<Config, "publicUrl" | "trustedProxyHops">;

/** Whether a request changes nothing. */
export const isRead = ({ method }: Request): boolean => method === "GET" || method === "HEAD";

/**
 * The origin of our pages for whoever sent this request: of PUBLIC_URL, if it was asked under that name; else the name that
 * it was asked under, by https if a trusted proxy says so.
 */
export function ownOrigin(request: Request, { publicUrl, trustedProxyHops }: OriginConfig): URL {
  const own = new URL(new URL(request.url).origin);
  const known = publicUrl === undefined ? undefined : new URL(publicUrl);
  if (known?.hostname === own.hostname && (known.port === own.port || own.port === ""))
    return new URL(known.origin);
  if (trustedProxyHops > 0 && request.headers.get("x-forwarded-proto") === "https") own.protocol = "https:";
  return own;
}

/**
 * Refuses a request that a page of another origin has sent, or may have sent. To browsers, all ports of localhost are one
 * site: the cookie of localhost:8000 comes with the requests of a page of localhost:3000, which CORS lets read the replies.
 * So reads are refused as well. Their Origin is absent if they come from our pages, or from nobody's.
 * @throws AppError `origin_not_allowed`
 */
export function requireOwnPage(request: Request, config: OriginConfig): void {
  const origin = request.headers.get("origin");
  const site = request.headers.get("sec-fetch-site");
  const isOwn = origin === null ? isRead(request) : origin === ownOrigin(request, config).origin;
  // `none`: entered by a person.
  if (isOwn && (site === null || site === "same-origin" || (isRead(request) && site === "none"))) return;
  throw new AppError(
    "origin_not_allowed",
    "Only pages of this service may use its cookie, and this request comes from elsewhere, or does not say where from (Origin). Send a token instead.",
  );
}
