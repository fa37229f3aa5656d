import {
  chooseEncoding,
  compress,
  type Encoding,
  embeddedName,
  hashOf,
  MIN_COMPRESSED_BYTES,
  weakened,
} from "./encoding.ts";

/** Text that a page or the OpenAPI document is served as; its hash is its ETag. */
export interface Content {
  text: string;
  hash: string;
  /** Embedded by the build, else compressed when it is first requested. */
  encoded(encoding: Encoding): Promise<Uint8Array<ArrayBuffer>>;
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
/** The smallest first. */
const BY_SIZE: readonly Encoding[] = ["br", "zstd", "gzip"];
/** Pages request their assets with the hash in the URL, so those never change. */
const IMMUTABLE = "public, max-age=31536000, immutable";

/** Reads each content once, when it is first requested, and again after a read that failed. */
export function createContentCache() {
  const contents = createCache<Content>();
  const encoded = createCache<Uint8Array<ArrayBuffer>>();
  return (key: string, read: () => Promise<string> | string): Promise<Content> =>
    contents(key, async () => {
      const text = await read();
      const hash = hashOf(text);
      return {
        text,
        hash,
        encoded: (encoding) =>
          encoded(
            embeddedName(hash, encoding),
            async () =>
              (await readEmbedded(embeddedName(hash, encoding))) ??
              compress(new TextEncoder().encode(text), encoding, "small"),
          ),
      };
    });
}

function createCache<Value>() {
  const values = new Map<string, Promise<Value>>();
  return (key: string, make: () => Promise<Value>): Promise<Value> => {
    const cached = values.get(key);
    if (cached) return cached;
    const value = make();
    values.set(key, value);
    value.catch(() => values.delete(key));
    return value;
  };
}

async function readEmbedded(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const files = Bun.embeddedFiles as readonly (Blob & { name: string })[];
  return files.find((file) => file.name.startsWith(`${name}-`))?.bytes();
}

/** 304 for a client that has this content already. */
export async function contentReply(request: Request, type: ContentType, content: Content): Promise<Response> {
  const { text, hash, encoded } = content;
  const choice = chooseEncoding(request, BY_SIZE);
  const encoding =
    choice && (choice.always || text.length >= MIN_COMPRESSED_BYTES) ? choice.encoding : undefined;
  const etag = `"${hash}"`;
  const headers = {
    etag: encoding ? weakened(etag) : etag,
    "cache-control": new URL(request.url).search === `?${hash}` ? IMMUTABLE : "no-cache",
    ...(type === "html" && { "content-security-policy": HTML_POLICY }),
  };
  const known = request.headers.get("if-none-match")?.split(",") ?? [];
  // Weak comparison, because compression weakens the ETag, here and in proxies.
  if (known.some((one) => one.trim().replace(/^W\//, "") === etag))
    return new Response(null, { status: 304, headers });
  return new Response(encoding ? await encoded(encoding) : text, {
    headers: {
      ...headers,
      "content-type": MEDIA_TYPES[type],
      ...(encoding && { "content-encoding": encoding }),
    },
  });
}
