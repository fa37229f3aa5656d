import type { ForgeHost } from "../config/forge-hosts.ts";
import type { Forge, ForgeRepository } from "./forge.ts";
import { openGithubForge } from "./github/github-forge.ts";

const OPEN: Readonly<Partial<Record<ForgeHost["kind"], (host: ForgeHost) => Forge>>> = {
  github: openGithubForge,
};

const MAX_LENGTH = 2_000;
/** Segments of a repository's path: groups of GitLab nest up to 20 deep. */
const SEGMENTS = { github: [2, 2], gitea: [2, 2], gitlab: [2, 21] } as const;
/** What the forges let owners, groups and repositories be named; none begins with a dot or a dash but ".github". */
const SEGMENT = /^(?=.*[^.])[A-Za-z0-9._][A-Za-z0-9._-]{0,254}$/;

export interface Forges {
  /** The forge that a repository is on, by its URL. Undefined: on none that is configured, or a URL of no repository. */
  forgeOf(repositoryUrl: string): { forge: Forge; repository: ForgeRepository } | undefined;
}

/** Opens nothing yet: each call of a forge connects by itself. */
export function openForges(hosts: readonly ForgeHost[]): Forges {
  const forges = hosts
    .flatMap((host) => OPEN[host.kind]?.(host) ?? [])
    .sort((one, other) => other.host.url.length - one.host.url.length);
  return {
    forgeOf(repositoryUrl) {
      const url = repositoryUrl.length <= MAX_LENGTH ? URL.parse(repositoryUrl) : null;
      if (!url || url.username || url.password || url.search || url.hash) return undefined;
      const forge = forges.find(({ host }) => isBeneath(url, new URL(host.url)));
      const path = forge && repositoryPath(url, forge.host);
      return path ? { forge, repository: { path } } : undefined;
    },
  };
}

const isBeneath = (url: URL, base: URL): boolean =>
  url.origin === base.origin && url.pathname.startsWith(`${base.pathname.replace(/\/$/, "")}/`);

function repositoryPath(url: URL, host: ForgeHost): string | undefined {
  const base = new URL(host.url).pathname.replace(/\/$/, "");
  const path = url.pathname
    .slice(base.length + 1)
    .replace(/\/+$/, "")
    .replace(/\.git$/, "");
  const segments = path.split("/");
  const [least, most] = SEGMENTS[host.kind];
  const valid =
    segments.length >= least && segments.length <= most && segments.every((one) => SEGMENT.test(one));
  return valid ? path : undefined;
}
