/** A weak ETag of everything that determines a reply: equal parts mean an equal reply, as far as a client can see. */
export function weakEtag(...parts: readonly unknown[]): string {
  const digest = new Bun.CryptoHasher("sha256").update(JSON.stringify(parts)).digest("base64url");
  return `W/"${digest.slice(0, 22)}"`;
}

/** Sets the ETag of a reply, which only the client itself may cache, revalidating each time. */
export function setEtag(set: { headers: Record<string, string | number> }, etag: string): void {
  set.headers["etag"] = etag;
  set.headers["cache-control"] = "private, no-cache";
}

/** Sets the ETag, and says whether If-None-Match names it: then nothing else has to be read, and the answer is 304. */
export function isUnchanged(
  { request, set }: { request: Request; set: Parameters<typeof setEtag>[0] },
  etag: string,
): boolean {
  setEtag(set, etag);
  return matchesEtag(request, etag);
}

/** Whether If-None-Match names this ETag, by weak comparison, or is `*`. */
function matchesEtag(request: Request, etag: string): boolean {
  const header = request.headers.get("if-none-match");
  if (header === null) return false;
  if (header.trim() === "*") return true;
  const opaque = (one: string) => one.replace(/^W\//, "");
  return (header.match(/(?:W\/)?"[^"]*"/g) ?? []).some((one) => opaque(one) === opaque(etag));
}
