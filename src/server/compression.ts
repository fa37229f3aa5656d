import { chooseEncoding, compress, ENCODINGS, MIN_COMPRESSED_BYTES, weakened } from "./encoding.ts";
import type { FetchHandler } from "./time-limit.ts";

const COMPRESSIBLE = /^(application\/json|text\/(?!event-stream))/;

/**
 * Compresses what an app reads for its clients, if they accept it: successful replies of JSON or text, from 1 KiB.
 *
 * The length of a compressed reply reveals whether two parts of it are alike (BREACH). Replies that hold a secret are marked
 * as `no-store`, and are not compressed; neither are errors and the replies to changes, which repeat what was sent.
 */
export function withCompression(app: FetchHandler): FetchHandler {
  return {
    fetch(request) {
      const choice = chooseEncoding(request, ENCODINGS);
      if (!choice || (request.method !== "GET" && request.method !== "HEAD")) return app.fetch(request);
      return compressReply(request, app, choice);
    },
  };
}

async function compressReply(
  request: Request,
  app: FetchHandler,
  { encoding, always }: NonNullable<ReturnType<typeof chooseEncoding>>,
): Promise<Response> {
  const reply = await app.fetch(request);
  const { status } = reply;
  if (status !== 200 || !isCompressible(reply.headers)) return reply;
  const headers = new Headers(reply.headers);
  const etag = headers.get("etag");
  const minBytes = always ? 1 : MIN_COMPRESSED_BYTES;

  if (request.method === "HEAD") {
    if (Number(headers.get("content-length") ?? 0) < minBytes) return reply;
    // It would be the length of what is not compressed. With null or a stream that has ended Bun says 0; it never reads this one.
    headers.delete("content-length");
    if (etag !== null) headers.set("etag", weakened(etag));
    return new Response(new ReadableStream(), { status, headers });
  }
  const bytes = new Uint8Array(await reply.arrayBuffer());
  const compressed = bytes.length < minBytes ? undefined : await compress(bytes, encoding, "fast");
  if (!compressed || (compressed.length >= bytes.length && !always)) return whole(bytes, status, headers);
  headers.set("content-encoding", encoding);
  if (etag !== null) headers.set("etag", weakened(etag));
  return whole(compressed, status, headers);
}

function whole(bytes: Uint8Array<ArrayBuffer>, status: number, headers: Headers): Response {
  headers.set("content-length", String(bytes.length));
  return new Response(bytes, { status, headers });
}

const isCompressible = (headers: Headers): boolean =>
  COMPRESSIBLE.test(headers.get("content-type") ?? "") &&
  !headers.has("content-encoding") &&
  !/\bno-(store|transform)\b/i.test(headers.get("cache-control") ?? "");
