import dns from "node:dns";
import { networkInterfaces } from "node:os";
import ipaddr from "ipaddr.js";
import { withTimeout } from "../shared/time.ts";
import { followNameServers } from "./name-servers.ts";

const RESOLVE_TIMEOUT_MS = 5_000;

/** Addresses that look public, but lead to the machine's cloud or to no host at all. */
const NOT_PUBLIC = [
  "168.63.129.16/32", // Azure's host agent
  "192.0.0.0/24",
  "192.88.99.0/24",
  "3fff::/20", // documentation
].map((range) => ipaddr.parseCIDR(range));

/** All of IPv6 that is assigned to the internet; it excludes IPv4-compatible, site-local and both NAT64 prefixes. */
const GLOBAL_V6 = ipaddr.parseCIDR("2000::/3");

/** Whether an address is that of a host on the internet: everything special, local or translated is not. */
export function isPublic(address: string): boolean {
  // The four-part form alone: a resolver never prints another one.
  if (!ipaddr.IPv6.isValid(address) && !ipaddr.IPv4.isValidFourPartDecimal(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== "unicast") return false;
  if (parsed.kind() === "ipv6" && !parsed.match(GLOBAL_V6)) return false;
  return !NOT_PUBLIC.some(([range, bits]) => range.kind() === parsed.kind() && parsed.match(range, bits));
}

/**
 * The addresses of this machine, which may be public: what listens on all of them, such as this service, would be reached
 * from inside of its firewall.
 */
export function addressesOfThisMachine(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
}

/** A host name or address in one spelling. */
export interface Host {
  /** Lower case, ASCII, without a trailing dot; an IPv6 address without brackets. */
  name: string;
  isAddress: boolean;
}

/**
 * The URL parser turns names into ASCII and every number that a resolver could take for an address (0x7f.1, 2130706433,
 * 017700000001) into the address, so that it is judged as one.
 * @param text from a client; an IPv6 address in brackets. @returns undefined if it names no host.
 */
export function hostOf(text: string): Host | undefined {
  // Anything with a meaning of its own in a URL.
  if (text === "" || text.length > 300 || /[\s/?#@\\%|<>^"`{}]/.test(text)) return undefined;
  if (text.startsWith("[")) {
    const inner = text.slice(1, -1);
    if (!text.endsWith("]") || !ipaddr.IPv6.isValid(inner)) return undefined;
    return { name: ipaddr.IPv6.parse(inner).toString(), isAddress: true };
  }
  if (text.includes(":") || text.includes("[")) return undefined;
  let name: string;
  try {
    name = new URL(`http://${text}/`).hostname.replace(/\.$/, "");
  } catch {
    return undefined;
  }
  if (name.length > 253 || !/^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(name)) return undefined;
  return { name, isAddress: ipaddr.IPv4.isValidFourPartDecimal(name) };
}

/** Finds all addresses of a name, as this machine resolves it. */
export type Resolve = (name: string) => Promise<readonly string[]>;

/**
 * By c-ares, which asks name servers off the event loop and without a thread. getaddrinfo would occupy a thread of the pool
 * that reads files: 16 names without an answer made a file wait for a minute. c-ares reads /etc/hosts and resolv.conf, with
 * search domains, asks for both families, and keeps answers for their time to live; the other sources of nsswitch.conf it
 * does not have. On macOS the system's resolver has no such pool.
 */
const BACKEND = process.platform === "linux" ? "c-ares" : "system";
const updateNameServers = followNameServers({
  file: "/etc/resolv.conf",
  set: (servers) => dns.setServers(servers),
});

/** @throws Error if the name does not exist, or its servers do not answer in time. */
export const resolveOnHost: Resolve = async (name) => {
  if (BACKEND === "c-ares") updateNameServers();
  const lookup = Bun.dns.lookup(name, { backend: BACKEND });
  const found = await withTimeout(RESOLVE_TIMEOUT_MS, lookup, "no answer in time");
  return [...new Set(found.map(({ address }) => address))];
};
