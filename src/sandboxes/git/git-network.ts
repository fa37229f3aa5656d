import { rm } from "node:fs/promises";
import { join } from "node:path";
import { addressesOfThisMachine, hostOf, isPublic } from "../../egress/addresses.ts";
import { openGateway } from "../../egress/gateway.ts";
import { createPolicy, type Decision, spelling } from "../../egress/policy.ts";
import { listsHostOf } from "../../shared/host-list.ts";
import { GATEWAY_SOCKET } from "../isolation/isolation.ts";
import { RepositoryError } from "./git-errors.ts";
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
 * @param options.ownAddresses for tests.
 * @throws RepositoryError if the remote is written as an address that is not public, or as this machine's.
 */
export async function openWayOut(options: {
  address: RepoAddress;
  folder: string;
  privateGitHosts: readonly string[];
  isolated: boolean;
  ownAddresses?: () => readonly string[];
}): Promise<WayOut> {
  const { address, privateGitHosts, isolated, ownAddresses = addressesOfThisMachine } = options;
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
    needed: [needed],
    privateHosts: privateGitHosts,
  });
  const folder = join(options.folder, `gateway-${crypto.randomUUID()}`);
  let last: Decision | undefined;
  const gateway = await openGateway({
    place: isolated ? { folder, socket: GATEWAY_SOCKET } : { port: 0 },
    policy,
    onDecision: (decision) => {
      last = decision;
    },
  });
  return {
    folder: isolated ? folder : undefined,
    port: isolated ? undefined : gateway.port,
    refused() {
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
