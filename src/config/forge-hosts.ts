import { listsHostOf } from "../shared/host-list.ts";
import type { Secret } from "../shared/secret.ts";
import type { ConfigCode } from "./mistakes.ts";
import { isLoopback } from "./parsers.ts";
import type { ValuesOf } from "./rows.ts";
import type { forges } from "./variables/forges.ts";

export const FORGE_KINDS = ["github", "gitlab", "gitea"] as const;

/** A host of git repositories: what it is, and how the service signs in to it. */
export interface ForgeHost {
  /** gitea: Forgejo, too. */
  kind: (typeof FORGE_KINDS)[number];
  /** What its repositories' URLs begin with, without a trailing slash: https://github.com. Credentials go nowhere else. */
  url: string;
  /** Without a trailing slash: https://api.github.com, https://gitlab.example/api/v4, https://git.example/api/v1. */
  apiUrl: string;
  /** Undefined: only what everybody may read. */
  credential: ForgeCredential | undefined;
  /** The variable that its credential is from, or would be: for messages and for the audit log. */
  setting: "GITHUB_TOKEN" | "GITHUB_APP_PRIVATE_KEY" | "GITLAB_TOKEN" | "FORGES";
}

export type ForgeCredential =
  | { kind: "token"; token: Secret }
  /** A GitHub App: it mints a token for each run, for one repository. @param privateKey PEM */
  | { kind: "app"; appId: string; privateKey: Secret };

/** Where a host of a kind has its API, unless the operator says otherwise. */
export function usualApiUrl(kind: ForgeHost["kind"], url: string): string {
  if (kind === "github") return url === "https://github.com" ? "https://api.github.com" : `${url}/api/v3`;
  return kind === "gitlab" ? `${url}/api/v4` : `${url}/api/v1`;
}

type Values = ValuesOf<typeof forges> & { privateGitHosts: readonly string[] | undefined };
type Fail = (name: ForgeHost["setting"] | "GITHUB_APP_ID", code: ConfigCode, problem: string) => void;

/** All hosts that are known, one of each origin; those of GITHUB_URL and GITLAB_URL are among them, with or without credentials. */
export function checkedForges(values: Values, fail: Fail): readonly ForgeHost[] {
  const { githubUrl, privateGitHosts = [] } = values;
  const { gitlabUrl, gitlabToken, listed = [] } = values.forgeSettings;
  const short = (
    kind: ForgeHost["kind"],
    url: string,
    credential: ForgeCredential | undefined,
  ): ForgeHost => ({
    ...{ kind, url, apiUrl: usualApiUrl(kind, url), credential },
    setting:
      kind === "gitlab"
        ? "GITLAB_TOKEN"
        : credential?.kind === "app"
          ? "GITHUB_APP_PRIVATE_KEY"
          : "GITHUB_TOKEN",
  });
  const all = [
    ...listed,
    short("github", githubUrl, githubCredential(values, fail)),
    short("gitlab", gitlabUrl, gitlabToken && { kind: "token", token: gitlabToken }),
  ];
  const found: ForgeHost[] = [];
  // Those with a credential first: one without may be what the short form of another kind is told to leave alone.
  for (const host of [...all.filter(isMeant), ...all.filter((one) => !isMeant(one))]) {
    const same = found.find((one) => new URL(one.url).origin === new URL(host.url).origin);
    if (!same) found.push(host);
    else if (isMeant(host))
      fail(
        host.setting,
        "config_conflict",
        `is for ${host.url}, which ${same.setting} is for, too; keep one`,
      );
  }
  for (const { url, apiUrl, setting } of found.filter(isMeant))
    for (const one of new Set([url, apiUrl]))
      if (!isProtected(one, privateGitHosts))
        fail(
          setting,
          "config_unencrypted",
          `would be sent to ${new URL(one).origin} without TLS; use https, or list the host in PRIVATE_GIT_HOSTS if its network is safe`,
        );
  return found;
}

/** Not just there because GITHUB_URL and GITLAB_URL have defaults. */
const isMeant = ({ setting, credential }: ForgeHost): boolean =>
  setting === "FORGES" || credential !== undefined;

function isProtected(url: string, privateGitHosts: readonly string[]): boolean {
  const { protocol, hostname } = new URL(url);
  return (
    protocol === "https:" || isLoopback(hostname.replace(/^\[|\]$/g, "")) || listsHostOf(privateGitHosts, url)
  );
}

function githubCredential({ forgeSettings }: Values, fail: Fail): ForgeCredential | undefined {
  const { githubToken: token, githubAppId: appId, githubAppPrivateKey: privateKey } = forgeSettings;
  if (appId && !privateKey)
    fail("GITHUB_APP_PRIVATE_KEY", "config_required", "is required with GITHUB_APP_ID");
  if (privateKey && !appId)
    fail("GITHUB_APP_ID", "config_required", "is required with GITHUB_APP_PRIVATE_KEY");
  if (token && (appId || privateKey))
    fail("GITHUB_TOKEN", "config_conflict", "and GITHUB_APP_ID exclude each other; unset one of them");
  if (appId && privateKey) return { kind: "app", appId, privateKey };
  return token && { kind: "token", token };
}
