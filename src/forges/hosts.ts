import type { ForgeHost } from "../config/forge-hosts.ts";
import type { ForgeRepository } from "./forge.ts";

/** A repository of a host that the configuration knows. */
export interface HostedRepository extends ForgeRepository {
  host: ForgeHost;
}

const MAX_LENGTH = 2_000;
/** Segments of a repository's path: groups of GitLab nest up to 20 deep. */
const SEGMENTS = { github: [2, 2], gitea: [2, 2], gitlab: [2, 21] } as const;
/** What the forges let owners, groups and repositories be named; none begins with a dot or a dash but ".github". */
const SEGMENT = /^(?=.*[^.])[A-Za-z0-9._][A-Za-z0-9._-]{0,254}$/;

/**
 * Finds the host of a repository by its whole origin, never by a part of its name.
 * @param url what git gets: a URL, or the path of a folder, which is on no host.
 * @returns undefined: the configuration does not know the host, which gets no credentials.
 */
export function hostedRepository(forges: readonly ForgeHost[], url: string): HostedRepository | undefined {
  const parsed = url.length <= MAX_LENGTH ? URL.parse(url) : null;
  if (!parsed || parsed.username || parsed.password || parsed.search || parsed.hash) return undefined;
  const plain = `${parsed.origin}${parsed.pathname}`;
  const [host] = forges
    .filter((one) => plain.startsWith(`${one.url}/`))
    .toSorted((one, other) => other.url.length - one.url.length);
  const path = host && plain.slice(host.url.length + 1).replace(/(\.git)?\/*$/, "");
  return path ? { host, path } : undefined;
}

/** Whether a path can be that of a repository at its host, so that it may be put into the paths of the host's API. */
export function isNamedRepository({ host, path }: HostedRepository): boolean {
  const segments = path.split("/");
  const [least, most] = SEGMENTS[host.kind];
  return segments.length >= least && segments.length <= most && segments.every((one) => SEGMENT.test(one));
}

/** What messages call the credential of a host that has one. */
export function credentialName({ setting, url, credential }: ForgeHost): string {
  if (setting === "FORGES") return `the ${credential?.kind} for ${new URL(url).host} in FORGES`;
  return credential?.kind === "app" ? "the app of GITHUB_APP_ID" : setting;
}

const contents = (what: string) => `the permission "Contents: ${what}" (a classic token: the scope repo)`;
const RIGHTS: Readonly<Record<ForgeHost["kind"], Readonly<Record<"read" | "write", string>>>> = {
  github: { read: contents("read"), write: contents("read and write") },
  gitlab: { read: "the scope read_repository", write: "the scope write_repository and the role Developer" },
  gitea: { read: "the scope read:repository", write: "the scope write:repository" },
};

/** What a credential needs for git, in the words of its host. */
export const gitRight = ({ kind }: ForgeHost, access: "read" | "write"): string => RIGHTS[kind][access];
