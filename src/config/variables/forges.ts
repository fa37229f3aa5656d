import { forgeList } from "../forge-list.ts";
import { appKey, secret, serviceUrl, text } from "../parsers.ts";
import type { Rows } from "../rows.ts";

/** Hosts of git repositories, and the credentials for them. Each is sent to its own host only. */
export const forges = {
  /** Without a trailing slash. */
  githubUrl: {
    env: "GITHUB_URL",
    default: "https://github.com",
    doc: "Host of repositories that are written as owner/name.",
    parse: serviceUrl,
  },
  /** As they were given: `forges` of Config is what is made of them. */
  forgeSettings: {
    githubToken: {
      env: "GITHUB_TOKEN",
      doc: "Token for GITHUB_URL: to clone and push, and for pull requests. Sandboxes never see it.",
      parse: secret(),
      secret: true,
    },
    githubAppId: {
      env: "GITHUB_APP_ID",
      doc: "Instead of GITHUB_TOKEN: the id of a GitHub App, which gets a token of its own for each run, for that run's repository alone.",
      parse: text,
    },
    githubAppPrivateKey: {
      env: "GITHUB_APP_PRIVATE_KEY",
      doc: "Private key of that app: the PEM file's text; line breaks may be written as \\n.",
      parse: appKey,
      secret: true,
    },
    gitlabUrl: {
      env: "GITLAB_URL",
      default: "https://gitlab.com",
      doc: "The GitLab that GITLAB_TOKEN is for.",
      parse: serviceUrl,
    },
    gitlabToken: {
      env: "GITLAB_TOKEN",
      doc: "Token for GITLAB_URL: to clone and push, and for merge requests. Sandboxes never see it.",
      parse: secret(),
      secret: true,
    },
    listed: {
      env: "FORGES",
      doc: 'All other hosts, as a JSON array: [{"host":"git.example.com","kind":"gitea","token":"…"}]. host: a name or a base URL; kind: github, gitlab or gitea (Forgejo, too). Optional: api_url; token or token_file; for a GitHub App app_id with private_key or private_key_file.',
      parse: forgeList,
      secret: true,
    },
  },
} as const satisfies Rows;
