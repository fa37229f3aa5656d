import type { ForgeHost } from "../config/forge-hosts.ts";
import {
  addressesOfThisMachine,
  hostOf,
  isPublic,
  type Resolve,
  resolveOnHost,
} from "../egress/addresses.ts";
import { credentialName } from "../forges/hosts.ts";
import { listsHostOf } from "../shared/host-list.ts";
import { type Found, ok, warn } from "./finding.ts";

/**
 * Whether git may reach a host, and with which credential: addresses that are not public are refused, except those of hosts
 * in PRIVATE_GIT_HOSTS. Asks the resolver alone.
 * @param options.resolve for tests.
 * @returns undefined for a name that does not resolve: the machine may be offline, and git says so itself.
 */
export async function gitHostFound(
  host: ForgeHost,
  {
    privateGitHosts = [],
    resolve = resolveOnHost,
  }: { privateGitHosts?: readonly string[] | undefined; resolve?: Resolve },
): Promise<Found | undefined> {
  const { hostname } = new URL(host.url);
  const known = hostOf(hostname);
  const name = known?.name ?? hostname;
  const credential = host.credential
    ? credentialName(host)
    : "no credential: it can only read what is public";
  if (listsHostOf(privateGitHosts, host.url))
    return ok(`${name} is listed in PRIVATE_GIT_HOSTS; ${credential}`);
  const addresses = known?.isAddress ? [name] : await resolve(name).catch(() => []);
  if (addresses.length === 0) return undefined;
  const own = addressesOfThisMachine();
  if (addresses.some((one) => isPublic(one) && !own.includes(one)))
    return ok(`${name} has a public address; ${credential}`);
  return warn(
    `${name} is at the private address ${addresses.join(", ")}, which git is not let to`,
    `set PRIVATE_GIT_HOSTS=${hostname}, if that host is meant`,
  );
}
