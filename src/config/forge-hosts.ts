import type { Secret } from "../shared/secret.ts";

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
}

export type ForgeCredential =
  | { kind: "token"; token: Secret }
  /** A GitHub App: it mints a token for each run, for one repository. @param privateKey PEM */
  | { kind: "app"; appId: string; privateKey: Secret };
