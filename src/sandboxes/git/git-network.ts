import { rm } from "node:fs/promises";
import { join } from "node:path";
import { addressesOfThisMachine, hostOf, isPublic } from "../../egress/addresses.ts";
import { openGateway } from "../../egress/gateway.ts";
import { createPolicy, type Decision, spelling, targetOf } from "../../egress/policy.ts";
import { listsHostOf } from "../../shared/host-list.ts";
import { GATEWAY_SOCKET } from "../isolation/isolation.ts";
import { RepositoryError } from "./git-errors.ts";
import { lfsRules } from "./lfs-network.ts";
import type { RepoAddress } from "./repo-url.ts";

/** The way to one remote, and to nothing else. */
export interface WayOut extends AsyncDisposable {
  /** For a sandboxed git: the folder with the gateway's socket. */
  folder: string | undefined;
  /** For one that is not: the gateway's port on loopback. */
  port: number | undefined;
  /** Why the remote was refused; the same text whatever listens there. */
  refused(): RepositoryError | undefined;
}

/**
 * Opens a gateway for one run of git. The remote's name is resolved here, once, and the connection goes to that address.
 * @param options.folder the gateway's folder is made below it.
 * @param options.lfs it leads also to where hosts keep the objects of Git LFS (see lfs-network.ts).
 * @param options.ownAddresses for tests.
 * @throws RepositoryError if the remote is written as an address that is not public, or as this machine's.
 */
export async function openWayOut(options: {
  address: RepoAddress;
  folder: string;
  privateGitHosts: readonly string[];
  isolated: boolean;
  lfs?: boolean;
  ownAddresses?: () => readonly string[];
}): Promise<WayOut> {
  const { address, privateGitHosts, isolated, lfs = false, ownAddresses = addressesOfThisMachine } = options;
  const { hostname, port: given, protocol } = new URL(address.url);
  const port = given ? Number(given) : protocol === "https:" ? 443 : 80;
  const host = hostOf(hostname);
  const isListed = listsHostOf(privateGitHosts, address.url);
  // A rule that names an address allows it, whatever it is.
  if (host?.isAddress && !isListed) {
    const isOwn = ownAddresses().some((own) => spelling(own) === host.name);
    if (isOwn || !isPublic(host.name)) throw isPrivate(address);
  }
  const needed = {
    text: address.display,
    host: host?.name ?? hostname,
    suffix: false,
    port,
    http: undefined,
  };
  const policy = createPolicy({
    mode: "deny",
    allow: undefined,
    needed: [needed, ...(lfs ? lfsRules(isListed ? privateGitHosts : []) : [])],
    // A host outside must not name one inside.
    privateHosts: isListed ? privateGitHosts : [],
  });
  const folder = join(options.folder, `gateway-${crypto.randomUUID()}`);
  let last: Decision | undefined;
  let elsewhere: Decision | undefined;
  const gateway = await openGateway({
    place: isolated ? { folder, socket: GATEWAY_SOCKET } : { port: 0 },
    policy,
    onDecision: (decision) => {
      const isOwn = decision.host === spelling(needed.host) && decision.port === port;
      if (!lfs || isOwn) last = decision;
      else if (!decision.allowed) elsewhere ??= decision;
    },
  });
  return {
    folder: isolated ? folder : undefined,
    port: isolated ? undefined : gateway.port,
    refused() {
      if (elsewhere) return isElsewhere(address, elsewhere);
      if (!last || last.allowed) return undefined;
      if (last.rule === "private address") return isPrivate(address);
      const text = `The host of ${address.display} could not be reached (${last.rule}).`;
      return new RepositoryError(text, undefined, "git_host");
    },
    async [Symbol.asyncDispose]() {
      await gateway.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const isPrivate = ({ display }: RepoAddress) =>
  new RepositoryError(
    `The host of ${display} is at a private address; whoever runs the service can list it in PRIVATE_GIT_HOSTS.`,
  );

const isElsewhere = ({ display }: RepoAddress, decision: Decision) =>
  new RepositoryError(
    `The host of ${display} refers to ${targetOf(decision)}, which is neither a public name over HTTPS nor listed in PRIVATE_GIT_HOSTS.`,
  );
