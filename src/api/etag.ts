import { AppError } from "../shared/errors.ts";

/** A weak ETag of everything that determines a reply: equal parts mean an equal reply, as far as a client can see. */
export function weakEtag(...parts: readonly unknown[]): string {
  const digest = new Bun.CryptoHasher("sha256").update(JSON.stringify(parts)).digest("base64url");
  return `W/"${digest.slice(0, 22)}"`;
}

/** A weak ETag of what has a version, so that a statement can be told which version the client has. */
export const versionTag = (id: string, version: number): string => `W/"${id.toLowerCase()}.${version}"`;

/** The version that If-None-Match has of it; 0 without one. */
export function versionIn(ifNoneMatch: string | null, id: string): number {
  const [, known, version] = /"([0-9a-f-]{36})\.(\d{1,15})"/.exec(ifNoneMatch ?? "") ?? [];
  return known === id.toLowerCase() ? Number(version) : 0;
}

/** Sets the ETag of a reply, which only the client itself may cache, revalidating each time. */
function setEtag(set: { headers: Record<string, string | number> }, etag: string): void {
  set.headers["etag"] = etag;
  set.headers["cache-control"] = "private, no-cache";
}

/** Sets the ETag, and says whether If-None-Match names it: then nothing else has to be read, and the answer is 304. */
export function isUnchanged(
  { request, set }: { request: Request; set: Parameters<typeof setEtag>[0] },
  etag: string,
): boolean {
  setEtag(set, etag);
  const header = request.headers.get("if-none-match");
  return header !== null && names(header, etag);
}

/** The ETags that a change requires, one of which must be current; null: it does not depend on any. */
export const ifMatchOf = (request: Request): string | null => request.headers.get("if-match");

/**
 * For a change, in its transaction, once the row is locked. Our ETags stand for the version of a row, not for the bytes of
 * a reply, and proxies that compress make any ETag a weak one: so they match although they are weak.
 * @throws AppError `precondition_failed`.
 */
export function requireMatch(ifMatch: string | null, etag: string): void {
  if (ifMatch === null || names(ifMatch, etag)) return;
  throw new AppError(
    "precondition_failed",
    "If-Match: none of its ETags is current, so it was changed since you read it, and nothing was stored. Read it again, and send the change with the new ETag.",
  );
}

/** Whether a list of ETags, as in If-None-Match, has this one, weak or not, or is `*`. */
export function names(list: string, etag: string): boolean {
  if (list.trim() === "*") return true;
  const opaque = (one: string) => one.replace(/^W\//, "");
  return (list.match(/(?:W\/)?"[^"]*"/g) ?? []).some((one) => opaque(one) === opaque(etag));
}
