import { AppError } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";

/** What a host says has changed. What it is now is read from the host itself. */
export type ForgeEvent =
  /** The page of a pull request, as the host writes it. */
  | { pullRequest: string }
  /** Checks of some commit: any of the repository's open pull requests. */
  | { repository: string }
  | undefined;

const MAX_URL = 2_000;

/**
 * Authenticates a host, which knows FORGE_WEBHOOK_SECRET: GitHub, Gitea and Forgejo sign the body (X-Hub-Signature-256), GitLab
 * sends the secret itself (X-Gitlab-Token). A repetition does no harm, so that none is remembered.
 * @param options.body the bytes, as received.
 * @throws AppError `webhooks_closed` where no secret is configured, else `unauthorized`.
 */
export function authenticateForge(options: {
  secret: Secret | undefined;
  headers: Headers;
  body: Uint8Array;
}): void {
  const { secret, headers, body } = options;
  if (secret === undefined)
    throw new AppError(
      "webhooks_closed",
      "Webhooks of git hosts are disabled: FORGE_WEBHOOK_SECRET is not set.",
    );
  const signature = /^sha256=([0-9a-f]{64})$/i.exec(headers.get("x-hub-signature-256") ?? "")?.[1];
  const token = headers.get("x-gitlab-token");
  if (signature !== undefined && secret.sign(body).equals(signature.toLowerCase())) return;
  if (signature === undefined && token !== null && secret.equals(token)) return;
  throw new AppError(
    "unauthorized",
    signature === undefined && token === null
      ? "Send X-Hub-Signature-256 (GitHub, Gitea, Forgejo) or X-Gitlab-Token (GitLab): set FORGE_WEBHOOK_SECRET as the webhook's secret there."
      : "The webhook's secret at the host is not the FORGE_WEBHOOK_SECRET of the service.",
  );
}

/** Reads a delivery of GitHub, GitLab, Gitea or Forgejo. @returns undefined: it is about nothing that is kept here. */
export function forgeEventIn(body: unknown): ForgeEvent {
  const at = (...path: string[]): string | undefined => {
    let value = body;
    for (const key of path)
      value =
        typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
    return typeof value === "string" && /^https?:\/\/\S+$/.test(value) && value.length <= MAX_URL
      ? value.replace(/\/+$/, "")
      : undefined;
  };
  const kind = (body as { object_kind?: unknown } | null)?.object_kind;
  const pullRequest =
    at("pull_request", "html_url") ??
    // A comment on a pull request: GitHub takes it for one on an issue.
    at("issue", "pull_request", "html_url") ??
    at("merge_request", "url") ??
    (kind === "merge_request" ? at("object_attributes", "url") : undefined);
  if (pullRequest !== undefined) return { pullRequest };
  const repository = at("repository", "html_url") ?? at("project", "web_url");
  return repository === undefined ? undefined : { repository };
}
