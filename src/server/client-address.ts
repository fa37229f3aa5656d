import { isIP } from "node:net";
import type { Server } from "bun";
import ipaddr from "ipaddr.js";
import { type Config, isLoopback } from "../config/config.ts";

const servers = new Set<Pick<Server<undefined>, "requestIP">>();

/**
 * Adds a server, of whose requests the peer's address can then be looked up. One process has one, except in tests.
 * @returns what removes it.
 */
export function addServer(server: Pick<Server<undefined>, "requestIP">): () => void {
  servers.add(server);
  return () => servers.delete(server);
}

function peerOf(request: Request): string {
  for (const server of servers) {
    const address = server.requestIP(request)?.address;
    if (address !== undefined) return address;
  }
  return "unknown";
}

/**
 * The key that identifies a client by its address: an IPv4 address, or the /64 network of an IPv6 address, which is what
 * one customer has.
 * @param trustedProxyHops each trusted proxy appends the address that it sees to X-Forwarded-For, so the client is the
 *   entry this many from the end; clients can forge everything before it.
 */
export function clientAddress(request: Request, trustedProxyHops: number): string {
  const peer = peerOf(request);
  if (trustedProxyHops === 0) return network(peer);
  const forwarded = (request.headers.get("x-forwarded-for") ?? "").split(",").at(-trustedProxyHops)?.trim();
  // Node's check is the strict one: to ipaddr.js `1` and `0x7f.1` are addresses, too.
  return network(forwarded !== undefined && isIP(forwarded) ? forwarded : peer);
}

/**
 * Whether a request comes from this machine: the service listens on loopback only, and neither the peer nor the client that
 * the trusted proxies name is elsewhere. A proxy that is not declared as trusted may forward anybody. Never with an issuer
 * of OpenID Connect: such a service is behind a proxy, which may name nobody.
 */
export function isFromHere(
  request: Request,
  config: Pick<Config, "auth" | "host" | "trustedProxyHops">,
): boolean {
  const { auth, host, trustedProxyHops } = config;
  return auth.mode !== "oidc" && isLoopback(host) && isLocalClient(request, trustedProxyHops);
}

/** Whether the peer, and the client that the trusted proxies name, are on this machine. */
export function isLocalClient(request: Request, trustedProxyHops: number): boolean {
  const forwarded = request.headers.has("x-forwarded-for") || request.headers.has("forwarded");
  if (forwarded && trustedProxyHops === 0) return false;
  const peer = clientAddress(request, 0);
  // The network of ::1.
  const isHere = (address: string) => isLoopback(address) || address === "0:0:0:0::/64";
  return isHere(peer) && isHere(clientAddress(request, trustedProxyHops));
}

function network(address: string): string {
  if (!isIP(address)) return address;
  // `process` turns IPv4-mapped IPv6 addresses into IPv4. It knows fewer zones than there are, such as `%eth0.100`.
  const parsed = ipaddr.process(address.replace(/%.*$/, ""));
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.toString();
  const prefix = parsed.parts.slice(0, 4).map((part) => part.toString(16));
  return `${prefix.join(":")}::/64`;
}
