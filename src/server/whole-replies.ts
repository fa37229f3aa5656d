import type { FetchHandler } from "./time-limit.ts";

/** Bytes; with its headers, what is shorter fits into the buffer of 16 KiB that Bun sends at once. */
const FITS = 12_000;

/**
 * Bun 1.4 sends a reply that is made after an `await` and is longer than its buffer in some sixty pieces, each name and each
 * value of a header for itself: 220 µs of the system's time for 26 KB, which take 10 µs as a stream. See
 * https://github.com/oven-sh/bun/pull/41341. So replies that say how long they are are sent as streams, if that is long.
 */
export function withWholeReplies(app: FetchHandler): FetchHandler {
  return {
    fetch(request) {
      const reply = app.fetch(request);
      return reply instanceof Promise && request.method === "GET" ? reply.then(inOnePiece) : reply;
    },
  };
}

function inOnePiece(reply: Response): Response | Promise<Response> {
  const { status, headers } = reply;
  if (Number(headers.get("content-length") ?? 0) <= FITS) return reply;
  return reply.bytes().then((bytes) => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes);
        controller.close();
      },
    });
    return new Response(body, { status, headers });
  });
}
