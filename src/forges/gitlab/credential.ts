import type { ForgeHost } from "../../config/forge-hosts.ts";
import type { CredentialReport } from "../forge.ts";
import { checkReply } from "../replies.ts";
import { unlessRefused } from "../rest-errors.ts";
import type { GitlabClient } from "./gitlab-client.ts";
import { OWN_TOKEN, USER } from "./gitlab-replies.ts";

/** Any of them may read its own user. */
const READ_USER = ["api", "read_api", "read_user"];

/** @throws RestRefusal; ForgeError */
export async function checkGitlabCredential(
  { tokens, users }: GitlabClient,
  host: ForgeHost,
): Promise<CredentialReport> {
  // What is no personal, project or group access token, such as OAuth's, has no such entry.
  const own = await tokens.show().catch(unlessRefused(400, 404));
  const scopes = own && checkReply(OWN_TOKEN, own, host).scopes;
  // A fine-grained token does not tell what it may do.
  const tells = scopes !== undefined && !scopes.includes("granular");
  const mayReadUser = !tells || scopes.some((one) => READ_USER.includes(one));
  const user = mayReadUser ? checkReply(USER, await users.showCurrentUser(), host) : undefined;
  return {
    owner: user?.username ?? null,
    lacks: !tells || scopes.includes("api") ? [] : ["the scope api"],
  };
}
