import type { Socket } from "node:net";
import { Unreachable } from "./dial.ts";
import { bodyLength, type Head, NOT_FORWARDED, splitTarget, valuesOf } from "./http-head.ts";
import { refusalText, targetOf } from "./policy.ts";
import type { Relay } from "./relay.ts";
import { BadRequest, breakTogether, replyAndClose, textReply } from "./streams.ts";

/**
 * `GET http://host/path`: one request and its response. The next request of a client needs a connection, and so a decision,
 * of its own: a second one on this connection is never sent on. @throws BadRequest
 */
export async function forwardRequest(client: Socket, head: Head, relay: Relay): Promise<void> {
  const [, authority, path = ""] = /^http:\/\/([^/?#]*)(\/[^#]*|\?[^#]*|)$/i.exec(head.target) ?? [];
  if (authority === undefined)
    throw new BadRequest(
      "400 Bad Request",
      "The target must be http://host/path; for all else, use CONNECT.",
    );
  const { host, port } = splitTarget(authority, 80);
  const length = bodyLength(head);
  const wholePath = path.startsWith("/") ? path : `/${path}`;
  const [onlyPath = "/"] = wholePath.split("?");
  const decision = await relay.decide({ host, port, http: { method: head.method, path: onlyPath } });
  if (!decision.allowed) return replyAndClose(client, textReply("403 Forbidden", refusalText(decision)));
  try {
    const upstream = await relay.dial(decision.addresses, port);
    breakTogether(client, upstream);
    client.setTimeout(relay.idleMs, () => client.destroy());
    upstream.write(headText(head, wholePath, targetOf(decision)), "latin1");
    upstream.pipe(client);
    sendBody(client, upstream, length);
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    replyAndClose(client, textReply("502 Bad Gateway", `${authority} cannot be reached: ${error.message}`));
  }
}

/** The request as it is sent on: to the target that was decided on, whatever its Host header said. */
function headText(head: Head, path: string, host: string): string {
  const named = valuesOf(head, "connection").flatMap((value) => value.split(","));
  const dropped = new Set([...NOT_FORWARDED, ...named.map((one) => one.trim().toLowerCase())]);
  // The framing was checked; a client must not be able to drop it.
  dropped.delete("content-length");
  const headers = head.headers.filter(([name]) => !dropped.has(name.toLowerCase()));
  return [
    `${head.method} ${path} HTTP/1.1`,
    `Host: ${host.replace(/:80$/, "")}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    "Connection: close",
    "\r\n",
  ].join("\r\n");
}

/** Sends exactly `length` bytes of what the client sends; the rest is discarded. */
function sendBody(client: Socket, upstream: Socket, length: number): void {
  let left = length;
  client.on("data", (chunk: Buffer) => {
    if (left === 0) return;
    const part = chunk.subarray(0, left);
    left -= part.length;
    if (!upstream.write(part)) client.pause();
  });
  upstream.on("drain", () => client.resume());
  // A client may end its side after the request; one that leaves in the middle of it breaks the request.
  client.once("end", () => {
    if (left > 0) upstream.destroy();
  });
}
