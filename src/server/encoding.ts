import { promisify } from "node:util";
import { type BrotliOptions, brotliCompress, constants, gzip } from "node:zlib";
import { setBounded } from "../shared/bounded-map.ts";

/** The fastest first. */
export const ENCODINGS = ["zstd", "br", "gzip"] as const;
export type Encoding = (typeof ENCODINGS)[number];
/** `fast` for one reply, `small` for what is compressed once and served often. */
export type Effort = "fast" | "small";

export interface EncodingChoice {
  encoding: Encoding;
  /** The client refuses what is not compressed, however small it is. */
  always: boolean;
}

/** Bytes; what is smaller hardly gets smaller, and fits into one packet. */
export const MIN_COMPRESSED_BYTES = 1024;

const LEVELS: Readonly<Record<Effort, Readonly<Record<Encoding, number>>>> = {
  fast: { zstd: 3, br: 4, gzip: 6 },
  // Brotli's highest level takes twenty times as long as this one, and saves a twelfth.
  small: { zstd: 12, br: 9, gzip: 9 },
};

const brotli = promisify<Uint8Array, BrotliOptions, Uint8Array<ArrayBuffer>>(brotliCompress);
const zip = promisify<Uint8Array, { level: number }, Uint8Array<ArrayBuffer>>(gzip);

/** Compresses on another thread. */
export async function compress(
  bytes: Uint8Array<ArrayBuffer>,
  encoding: Encoding,
  effort: Effort,
): Promise<Uint8Array<ArrayBuffer>> {
  const level = LEVELS[effort][encoding];
  if (encoding === "zstd") return (await Bun.zstdCompress(bytes, { level })) as Buffer<ArrayBuffer>;
  if (encoding === "gzip") return zip(bytes, { level });
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: level,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  return brotli(bytes, { params });
}

/**
 * The encoding of a reply, by RFC 9110, 12.5.3: the one that the client prefers, and among equals the first of `ours`.
 * @returns undefined for a reply that is not compressed: also where the client accepts none of these, and refuses that, too.
 */
export function chooseEncoding({ headers }: Request, ours: readonly Encoding[]): EncodingChoice | undefined {
  const header = headers.get("accept-encoding");
  if (header === null) return undefined;
  const weights = weightsOf(header);
  const others = weights.get("*") ?? 0;
  const weightOf = (encoding: Encoding) =>
    weights.get(encoding) ?? (encoding === "gzip" ? weights.get("x-gzip") : undefined) ?? others;
  const [best] = ours.toSorted((a, b) => weightOf(b) - weightOf(a));
  if (best === undefined || weightOf(best) === 0) return undefined;
  const identity = weights.get("identity");
  if (identity !== undefined && identity > weightOf(best)) return undefined;
  return { encoding: best, always: (identity ?? weights.get("*")) === 0 };
}

/** What was found in headers; clients send few different ones. */
const known = new Map<string, ReadonlyMap<string, number>>();
const MAX_KNOWN = 100;

function weightsOf(header: string): ReadonlyMap<string, number> {
  const found = known.get(header) ?? parseWeights(header);
  if (!known.has(header)) setBounded(known, header, found, MAX_KNOWN);
  return found;
}

/** `gzip;q=0.5, *` → gzip 0.5, * 1. What has no valid weight is left out. */
function parseWeights(header: string): Map<string, number> {
  const entries = header.split(",").flatMap((entry) => {
    const [, name, weight = "1"] =
      /^\s*([\w*-]+)\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?$/i.exec(entry) ?? [];
    return name === undefined ? [] : [[name.toLowerCase(), Number(weight)] as const];
  });
  return new Map(entries);
}

/** The ETag of a compressed reply: it stands for the same content, but not for the same bytes. */
export const weakened = (etag: string): string => (etag.startsWith("W/") ? etag : `W/${etag}`);

/** Identifies content. */
export const hashOf = (bytes: string | Uint8Array): string => Bun.hash(bytes).toString(36);

/** What the build calls a compressed file that it embeds; Bun adds a hash of its own. */
export const embeddedName = (hash: string, encoding: Encoding): string => `${hash}-${encoding}`;
