import { isIP } from "node:net";
import type { Server } from "bun";

const servers = new WeakMap<Request, Server<undefined>>();

/** Where a request came in; asked for its sender only when somebody wants to know. */
export function rememberServer(request: Request, server: Server<undefined>): void {
  servers.set(request, server);
}

/**
 * The address that counts as one client: an IPv4 address, or the 64 bits of an IPv6 address that one customer has.
 * @param hops how many proxies are trusted: each adds the address that it sees at the end of X-Forwarded-For, so that
 *   the client is as many from the end; what stands before that anybody may have written.
 */
export function clientAddress(request: Request, hops: number): string {
  const seen = servers.get(request)?.requestIP(request)?.address ?? "unknown";
  const list = hops > 0 ? (request.headers.get("x-forwarded-for") ?? "").split(",") : [];
  const forwarded = list.at(-hops)?.trim() ?? "";
  return network(hops > 0 && isIP(forwarded) ? forwarded : seen);
}

function network(address: string): string {
  const bare = address.replace(/^::ffff:(?=\d+\.)/i, "");
  if (isIP(bare) !== 6) return bare;
  const [front = "", back] = bare.split("%")[0]?.split("::") ?? [];
  const groups = front === "" ? [] : front.split(":");
  const rest = back ? back.split(":") : [];
  const zeros = back === undefined ? 0 : 8 - groups.length - rest.length;
  const all = [...groups, ...Array<string>(zeros).fill("0"), ...rest];
  return `${all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
