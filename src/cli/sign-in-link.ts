import { openLocalIssuer } from "../auth/local-issuer.ts";
import type { Config } from "../config/config.ts";

/**
 * Where a person opens the console. In local mode the link signs them in; its code is a fragment, which browsers do not
 * send, so that it is in no log.
 * @param url where the service is reached from this machine.
 * @throws OperatorError when the local issuer's key can be neither read nor created.
 */
export function signInLink({ auth, dataDir, publicUrl }: Config, url: string): string {
  if (auth.mode !== "local") return `${publicUrl ?? url}/`;
  const issuer = openLocalIssuer({ dataDir, audience: auth.audience });
  return `${url}/#code=${issuer.issueSignInCode()}`;
}
