/** A weak validator of whatever `parts` tell apart: the same parts, the same reply as far as a client can see. */
export function weakTag(...parts: readonly unknown[]): string {
  const digest = new Bun.CryptoHasher("sha256").update(JSON.stringify(parts)).digest("base64url");
  return `W/"${digest.slice(0, 22)}"`;
}

/** Whether If-None-Match names this validator (weak comparison), among others or as `*`. */
function names(header: string | null, tag: string): boolean {
  if (header === null) return false;
  if (header.trim() === "*") return true;
  const opaque = (one: string) => one.replace(/^W\//, "");
  return (header.match(/(?:W\/)?"[^"]*"/g) ?? []).some((one) => opaque(one) === opaque(tag));
}

type Settable = { headers: Record<string, string | number> };

/** Puts the validator on the reply. A client may keep the reply, for itself alone, and asks each time whether it still holds. */
export function putTag(set: Settable, tag: string): void {
  set.headers["etag"] = tag;
  set.headers["cache-control"] = "private, no-cache";
}

/** The same, and whether the client has that reply already: then answer 304, and read nothing more. */
export function isUnchanged({
  request,
  set,
  tag,
}: {
  request: Request;
  set: Settable;
  tag: string;
}): boolean {
  putTag(set, tag);
  return names(request.headers.get("if-none-match"), tag);
}
