import type { Socket } from "node:net";

/** How long a client may take to read a reply and leave, milliseconds. */
const LINGER_MS = 1_000;

/** The client sent something that this gateway does not accept, or too much of it, or nothing in time. */
export class BadRequest extends Error {
  override readonly name = "BadRequest";
  constructor(
    readonly status: string,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Reads the beginning of what a client sends, up to a length that `enough` finds in it; what follows stays in the socket.
 * @param enough the length to take, once the bytes show it. @throws BadRequest from `enough`; if the client leaves.
 */
export function take(socket: Socket, enough: (bytes: Buffer) => number | undefined): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  let bytes: Buffer = Buffer.alloc(0);
  const look = () => {
    try {
      const more = socket.read() as Buffer | null;
      if (more === null) return;
      bytes = bytes.length === 0 ? more : Buffer.concat([bytes, more]);
      const length = enough(bytes);
      if (length === undefined || length > bytes.length) return;
      stop();
      if (length < bytes.length) socket.unshift(bytes.subarray(length));
      resolve(bytes.subarray(0, length));
    } catch (error) {
      stop();
      reject(error);
    }
  };
  const left = () => {
    stop();
    reject(new BadRequest("400 Bad Request", "The request is incomplete."));
  };
  const stop = () => {
    socket.off("readable", look);
    socket.off("end", left);
    socket.off("close", left);
  };
  socket.on("readable", look);
  socket.on("end", left);
  socket.on("close", left);
  look();
  return promise;
}

/** Sends a last reply and closes. What the client still sends is discarded, since a reset could overtake the reply. */
export function replyAndClose(socket: Socket, reply: string | Uint8Array): void {
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
  socket.end(reply);
  socket.resume();
}

/** A reply of the gateway itself, in plain text. */
export function textReply(status: string, text: string): string {
  const body = `${text}\n`;
  return [
    `HTTP/1.1 ${status}`,
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
    "",
    body,
  ].join("\r\n");
}

/**
 * Relays in both directions until both have ended: each end is passed on, no more is read than the other side accepts, and
 * a broken side breaks the other.
 * @param idleMs when a pair in which nothing moves is closed; 0: never.
 */
export function join(client: Socket, upstream: Socket, idleMs: number): void {
  breakTogether(client, upstream);
  client.setTimeout(idleMs, () => client.destroy());
  client.pipe(upstream);
  upstream.pipe(client);
}

/** When one side is closed before it has ended, the other one is closed, too. */
export function breakTogether(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on("error", () => to.destroy());
    from.once("close", () => {
      if (!from.readableEnded || !from.writableFinished) to.destroy();
    });
  }
}
