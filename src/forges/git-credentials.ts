import type { ForgeHost } from "../config/forge-hosts.ts";
import { ForgeError, type GitCredential } from "./forge.ts";
import { mintGitToken } from "./github/app-tokens.ts";
import { type HostedRepository, isNamedRepository } from "./hosts.ts";

/**
 * Finds what git must send to the host of a repository, for one run of git: an app's token is minted for it.
 * @returns undefined: nothing. @throws ForgeError
 */
export type CredentialFor = (
  repository: HostedRepository,
  access: "read" | "write",
  signal: AbortSignal,
) => Promise<GitCredential | undefined>;

/** GitHub and Gitea take any name beside a token. */
const USERNAMES: Readonly<Record<ForgeHost["kind"], string>> = {
  github: "x-access-token",
  gitlab: "oauth2",
  gitea: "x-access-token",
};

export const credentialFor: CredentialFor = async (repository, access, signal) => {
  const { host, path } = repository;
  const { kind, credential } = host;
  if (!credential) return undefined;
  const username = USERNAMES[kind];
  if (credential.kind === "token") return { username, password: credential.token };
  if (!isNamedRepository(repository))
    throw new ForgeError("missing", `${host.url}/${path} is no repository: at ${host.url} it is owner/name.`);
  return { username, password: await mintGitToken({ host, app: credential }, path, access, signal) };
};
