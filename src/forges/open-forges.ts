import type { ForgeHost } from "../config/forge-hosts.ts";
import type { Forge, ForgeRepository } from "./forge.ts";
import { openGiteaForge } from "./gitea/gitea-forge.ts";
import { openGithubForge } from "./github/github-forge.ts";
import { openGitlabForge } from "./gitlab/gitlab-forge.ts";
import { hostedRepository, isNamedRepository } from "./hosts.ts";

const OPEN: Readonly<Record<ForgeHost["kind"], (host: ForgeHost) => Forge>> = {
  github: openGithubForge,
  gitlab: openGitlabForge,
  gitea: openGiteaForge,
};

export interface Forges {
  /** One for each host. */
  readonly all: readonly Forge[];
  /** The forge that a repository is on, by its URL. Undefined: on none that is configured, or a URL of no repository. */
  forgeOf(repositoryUrl: string): { forge: Forge; repository: ForgeRepository } | undefined;
}

/** Opens nothing yet: each call of a forge connects by itself. */
export function openForges(hosts: readonly ForgeHost[]): Forges {
  const forges = new Map(hosts.map((host) => [host, OPEN[host.kind](host)]));
  return {
    all: [...forges.values()],
    forgeOf(repositoryUrl) {
      const found = hostedRepository(hosts, repositoryUrl);
      const forge = found && isNamedRepository(found) ? forges.get(found.host) : undefined;
      return found && forge && { forge, repository: { path: found.path } };
    },
  };
}
