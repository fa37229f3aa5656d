import { connect } from "node:net";

export interface RawReply {
  status: number;
  headers: Headers;
  body: Buffer;
}

/**
 * Sends bytes as they are, for requests that no client library makes.
 * @param to a URL, or the path of a socket.
 * @returns undefined when the server closes the connection without a reply.
 */
export function sendRaw(to: string, text: string): Promise<RawReply | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<RawReply | undefined>();
  let received = Buffer.alloc(0);
  const url = URL.parse(to);
  const place = url ? { host: url.hostname, port: Number(url.port) } : { path: to };
  const socket = connect(place, () => socket.write(text, "latin1"));
  socket.on("data", (data: Buffer) => {
    received = Buffer.concat([received, data]);
    const reply = parse(received, text.startsWith("HEAD "));
    if (reply) socket.end(() => resolve(reply));
  });
  socket.on("close", () =>
    received.length === 0 ? resolve(undefined) : reject(new Error(`cut off: ${received.toString("latin1")}`)),
  );
  socket.on("error", reject);
  return promise;
}

/** Undefined while something is missing. Bodies have a Content-Length. */
function parse(bytes: Buffer, withoutBody: boolean): RawReply | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  const length = withoutBody ? 0 : Number(headers.get("content-length") ?? 0);
  const body = bytes.subarray(end + 4);
  return body.length < length ? undefined : { status: Number(first.split(" ")[1]), headers, body };
}
