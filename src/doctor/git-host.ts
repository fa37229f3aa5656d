import type { Config } from "../config/config.ts";
import {
  addressesOfThisMachine,
  hostOf,
  isPublic,
  type Resolve,
  resolveOnHost,
} from "../egress/addresses.ts";
import { type Found, ok, warn } from "./finding.ts";

/**
 * Whether git may reach the host of repositories that are written as owner/name: addresses that are not public are refused,
 * except those of hosts in PRIVATE_GIT_HOSTS. Asks the resolver alone.
 * @param options.resolve for tests.
 * @returns undefined for a name that does not resolve: the machine may be offline, and git says so itself.
 */
export async function gitHostFound(
  config: Pick<Config, "githubUrl" | "privateGitHosts">,
  { resolve = resolveOnHost }: { resolve?: Resolve } = {},
): Promise<Found | undefined> {
  const { hostname, port: given, protocol } = new URL(config.githubUrl);
  const host = hostOf(hostname);
  const name = host?.name ?? hostname;
  const port = given || (protocol === "https:" ? "443" : "80");
  // As git-network.ts compares them.
  const listed = config.privateGitHosts?.some((one) => one === hostname || one === `${hostname}:${port}`);
  if (listed) return ok(`${name} is listed in PRIVATE_GIT_HOSTS`);
  const addresses = host?.isAddress ? [name] : await resolve(name).catch(() => []);
  if (addresses.length === 0) return undefined;
  const own = addressesOfThisMachine();
  if (addresses.some((one) => isPublic(one) && !own.includes(one))) return ok(`${name} has a public address`);
  return warn(
    `${name} (GITHUB_URL) is at the private address ${addresses.join(", ")}, which git is not let to`,
    `set PRIVATE_GIT_HOSTS=${hostname}, if that host is meant`,
  );
}
