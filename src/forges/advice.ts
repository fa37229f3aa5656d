import type { ForgeHost } from "../config/forge-hosts.ts";
import type { ForgeFault } from "./forge.ts";
import { credentialName } from "./hosts.ts";

/** What a user does about a refusal that concerns the credential; begins with a space. "" for any other. */
export function credentialAdvice(fault: ForgeFault, host: ForgeHost): string {
  const { credential, kind } = host;
  const name = credentialName(host);
  if (fault === "unauthorised")
    return credential
      ? ` ${capitalised(name)} is wrong, has expired or was revoked: configure another one.`
      : ` Configure a token ${kind === "github" ? "or a GitHub App " : ""}for this host.`;
  if (fault !== "missing") return "";
  return credential
    ? ` Check that it exists and that ${name} may see it: what may not be seen is not found.`
    : " Check that it exists; what is not public needs a credential for this host.";
}

export const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
