import type { Octokit } from "@octokit/core";
import type { ForgeCredential, ForgeHost } from "../../config/forge-hosts.ts";
import { unlessAborted } from "../../shared/time.ts";
import { ForgeError } from "../forge.ts";
import { type Doing, githubError } from "./github-errors.ts";
import { openOctokit } from "./octokit.ts";

export type App = Extract<ForgeCredential, { kind: "app" }>;

type Permissions = Readonly<Record<string, string>>;

/** One request. @param onMissing a sentence for what is not found. @throws ForgeError */
type AskAsApp = <T>(send: (octokit: Octokit) => Promise<T>, onMissing: string) => Promise<T>;

/** Signs in as a GitHub App itself, which may only ask about itself and for tokens. @throws ForgeError */
export async function openAsApp(
  { host, app }: { host: ForgeHost; app: App },
  doing: Doing,
  signal: AbortSignal,
): Promise<AskAsApp> {
  const octokit = openOctokit(host, app, signal);
  await octokit.auth({ type: "app" }).catch(() => {
    // Without the cause: what a library says of a key may quote it.
    throw new ForgeError(
      "unauthorised",
      `The service could not ${doing.what}: its private key cannot be read. Set GITHUB_APP_PRIVATE_KEY to the PEM file that GitHub made for the app.`,
    );
  });
  return async (send, onMissing) => {
    try {
      return await unlessAborted(send(octokit), signal);
    } catch (error) {
      signal.throwIfAborted();
      throw appError(githubError(error, doing), doing, onMissing);
    }
  };
}

/** Those of `required` that are not granted, as GitHub writes them: contents=write. */
export const lackedOf = (granted: Permissions, required: Permissions): readonly string[] =>
  Object.entries(required)
    .filter((one) => !isGranted(granted, one))
    .map((one) => one.join("="));

export function isGranted(granted: Permissions, [name, level]: [string, string]): boolean {
  const held = granted[name];
  return held === level || (level === "read" && (held === "write" || held === "admin"));
}

/** What the app itself does wrong has its own sentences: nobody but the operator can mend it. */
function appError(error: unknown, { host, what }: Doing, onMissing: string): unknown {
  if (!(error instanceof ForgeError)) return error;
  if (error.fault === "missing") return new ForgeError("missing", onMissing);
  if (error.fault !== "unauthorised") return error;
  return new ForgeError(
    "unauthorised",
    `${new URL(host.url).host} does not accept the signature with which to ${what}: the private key is not this app's, the app's id is wrong, or ` +
      "the clock of this machine is.",
  );
}
