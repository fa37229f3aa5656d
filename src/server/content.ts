import { readEmbedded } from "./embedded-files.ts";
import {
  chooseEncoding,
  compress,
  type Encoding,
  embeddedName,
  hashOf,
  MIN_COMPRESSED_BYTES,
  weakened,
} from "./encoding.ts";

/** What a page, its asset or the OpenAPI document is served as; its hash is its ETag. */
export interface Content {
  bytes: Uint8Array<ArrayBuffer>;
  hash: string;
  /** Embedded by the build, else compressed when it is first requested. */
  encoded(encoding: Encoding): Promise<Uint8Array<ArrayBuffer>>;
}

export type ContentType = keyof typeof MEDIA_TYPES;

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

type Text = string | Uint8Array<ArrayBuffer>;

const MEDIA_TYPES = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  webmanifest: "application/manifest+json",
  svg: "image/svg+xml",
  png: "image/png",
} as const;
/** The smallest first. */
const BY_SIZE: readonly Encoding[] = ["br", "zstd", "gzip"];
/** For what is requested with its hash in the URL, so that it never changes. */
const IMMUTABLE = "public, max-age=31536000, immutable";

/** Reads each content once, when it is first requested, and again after a read that failed. */
export function createContentCache() {
  const contents = createCache<Content>();
  const encoded = createCache<Uint8Array<ArrayBuffer>>();
  return (key: string, read: () => Promise<Text> | Text): Promise<Content> =>
    contents(key, async () => {
      const text = await read();
      const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
      const hash = hashOf(bytes);
      return {
        bytes,
        hash,
        encoded: (encoding) =>
          encoded(
            embeddedName(hash, encoding),
            async () =>
              (await readEmbedded(embeddedName(hash, encoding))) ?? compress(bytes, encoding, "small"),
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

/**
 * 304 for a client that has this content already.
 * @param options.policy the Content-Security-Policy of a page. Default: that of the API's documentation.
 * @param options.immutable whether it never changes at this URL. Default: if the URL's query is its hash.
 */
export async function contentReply(
  request: Request,
  type: ContentType,
  content: Content,
  options: { policy?: string; immutable?: boolean } = {},
): Promise<Response> {
  const { bytes, hash, encoded } = content;
  const { policy = HTML_POLICY, immutable = new URL(request.url).search === `?${hash}` } = options;
  const choice = chooseEncoding(request, BY_SIZE);
  const encoding =
    choice && (choice.always || bytes.length >= MIN_COMPRESSED_BYTES) ? choice.encoding : undefined;
  const etag = `"${hash}"`;
  const headers = {
    etag: encoding ? weakened(etag) : etag,
    "cache-control": immutable ? IMMUTABLE : "no-cache",
    ...(type === "html" && { "content-security-policy": policy }),
  };
  const known = request.headers.get("if-none-match")?.split(",") ?? [];
  // Weak comparison, because compression weakens the ETag, here and in proxies. `*` is any content.
  if (known.some((one) => ["*", etag].includes(one.trim().replace(/^W\//, ""))))
    return new Response(null, { status: 304, headers });
  return new Response(encoding ? await encoded(encoding) : bytes, {
    headers: {
      ...headers,
      "content-type": MEDIA_TYPES[type],
      ...(encoding && { "content-encoding": encoding }),
    },
  });
}
