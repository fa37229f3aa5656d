import { isIPv4, type Socket } from "node:net";
import ipaddr from "ipaddr.js";
import { Unreachable } from "./dial.ts";
import type { Relay } from "./relay.ts";
import { join, replyAndClose, take } from "./streams.ts";

/** RFC 1928. */
export const SOCKS_VERSION = 5;
const NO_AUTHENTICATION = 0;
const NO_METHOD = 0xff;
const CONNECT = 1;
const IPV4 = 1;
const NAME = 3;
const IPV6 = 4;
const REPLY = {
  done: 0,
  failed: 1,
  refused: 2,
  unreachable: 4,
  commandUnknown: 7,
  addressUnknown: 8,
} as const;

/** SOCKS5 without authentication, CONNECT only; names are resolved here. @throws BadRequest if the client leaves. */
export async function openSocksTunnel(client: Socket, relay: Relay): Promise<void> {
  const greeting = await take(client, ([, methods]) => (methods === undefined ? undefined : 2 + methods));
  if (!greeting.subarray(2).includes(NO_AUTHENTICATION))
    return replyAndClose(client, Uint8Array.of(SOCKS_VERSION, NO_METHOD));
  client.write(Uint8Array.of(SOCKS_VERSION, NO_AUTHENTICATION));

  const request = await take(client, requestLength);
  const [version, command, , type] = request;
  const refuse = (code: number) => replyAndClose(client, replyOf(code));
  if (version !== SOCKS_VERSION) return refuse(REPLY.failed);
  if (command !== CONNECT) return refuse(REPLY.commandUnknown);
  if (type !== IPV4 && type !== NAME && type !== IPV6) return refuse(REPLY.addressUnknown);
  const port = request.readUInt16BE(request.length - 2);
  // As with HTTP. The record of what a run asked for uses it for what it has no room for.
  if (port === 0) return refuse(REPLY.failed);
  const host = hostIn(request.subarray(4, -2), type);
  const decision = await relay.decide({ host, port });
  if (!decision.allowed) return refuse(REPLY.refused);
  try {
    const upstream = await relay.dial(decision.addresses, port);
    client.write(replyOf(REPLY.done));
    join(client, upstream, relay.idleMs);
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    refuse(REPLY.unreachable);
  }
}

/** An unknown type has no known length: it is answered after the first four bytes. */
function requestLength(bytes: Buffer): number | undefined {
  const [version, , , type, length] = bytes;
  if (type === undefined) return undefined;
  if (version !== SOCKS_VERSION) return 4;
  if (type === IPV4) return 4 + 4 + 2;
  if (type === IPV6) return 4 + 16 + 2;
  if (type !== NAME) return 4;
  return length === undefined ? undefined : 5 + length + 2;
}

function hostIn(bytes: Buffer, type: number): string {
  // A literal IPv6 address may be sent as a name, too.
  if (type === NAME) {
    const name = bytes.subarray(1).toString("utf8");
    return ipaddr.IPv6.isValid(name) ? `[${name}]` : name;
  }
  const address = ipaddr.fromByteArray([...bytes]).toString();
  return isIPv4(address) ? address : `[${address}]`;
}

/** The bound address is of no use to the client and stays empty. */
const replyOf = (code: number) => Uint8Array.of(SOCKS_VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0);
