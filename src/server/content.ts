/** Text that a page or the OpenAPI document is served as; its hash is its ETag. */
export interface Content {
  text: string;
  hash: string;
}

export type ContentType = "html" | "css" | "js" | "json";

/**
 * Scripts and style sheets only from this origin, and requests only to it. Both pages write style attributes into their
 * markup, and RapiDoc style elements too; both sanitize the markup of descriptions.
 */
const HTML_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const MEDIA_TYPES: Readonly<Record<ContentType, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
};
/** Pages request their assets with the hash in the URL, so those never change. */
const IMMUTABLE = "public, max-age=31536000, immutable";

/** Reads each content once, when it is first requested, and again after a read that failed. */
export function createContentCache() {
  const contents = new Map<string, Promise<Content>>();
  return (key: string, read: () => Promise<string> | string): Promise<Content> => {
    const cached = contents.get(key);
    if (cached) return cached;
    const content = Promise.try(read).then((text) => ({ text, hash: Bun.hash(text).toString(36) }));
    contents.set(key, content);
    content.catch(() => contents.delete(key));
    return content;
  };
}

/** 304 for a client that has this content already. */
export function contentReply(request: Request, type: ContentType, { text, hash }: Content): Response {
  const etag = `"${hash}"`;
  const headers = {
    etag,
    "cache-control": new URL(request.url).search === `?${hash}` ? IMMUTABLE : "no-cache",
    ...(type === "html" && { "content-security-policy": HTML_POLICY }),
  };
  const known = request.headers.get("if-none-match")?.split(",") ?? [];
  // Weak comparison, because a proxy that compresses weakens the ETag.
  if (known.some((one) => one.trim().replace(/^W\//, "") === etag))
    return new Response(null, { status: 304, headers });
  return new Response(text, { headers: { ...headers, "content-type": MEDIA_TYPES[type] } });
}
