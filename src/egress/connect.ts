import type { Socket } from "node:net";
import { Unreachable } from "./dial.ts";
import { bodyLength, type Head, splitTarget } from "./http-head.ts";
import { refusalText } from "./policy.ts";
import type { Relay } from "./relay.ts";
import { BadRequest, join, replyAndClose, textReply } from "./streams.ts";

/** `CONNECT host:port`: a tunnel. What follows the head belongs to it. @throws BadRequest */
export async function openTunnel(client: Socket, head: Head, relay: Relay): Promise<void> {
  const { host, port } = splitTarget(head.target);
  if (bodyLength(head) > 0) throw new BadRequest("400 Bad Request", "CONNECT has no body.");
  const decision = await relay.decide({ host, port });
  if (!decision.allowed) return replyAndClose(client, textReply("403 Forbidden", refusalText(decision)));
  try {
    const upstream = await relay.dial(decision.addresses, port);
    client.write("HTTP/1.1 200 Connection established\r\n\r\n");
    join(client, upstream, relay.idleMs);
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    replyAndClose(client, textReply("502 Bad Gateway", `${head.target} cannot be reached: ${error.message}`));
  }
}
