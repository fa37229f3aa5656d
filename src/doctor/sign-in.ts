import { fetchDiscovery } from "../auth/discovery.ts";
import type { OidcClient } from "../config/config.ts";
import { messageOf } from "../shared/errors.ts";
import { CALLBACK_PATH, redirectUri } from "../web-sessions/provider.ts";
import { type Found, fail, ok } from "./finding.ts";
import { ANSWER_MS } from "./network.ts";

/** Whether browsers can sign in to the web console with the identity provider, and what its administrator must enter there. */
export async function signInFound(options: {
  issuer: string;
  client: OidcClient;
  publicUrl: string | undefined;
}): Promise<Found> {
  const { issuer, client, publicUrl } = options;
  const url = client.discoveryUrl;
  let methods: unknown;
  try {
    const document = await fetchDiscovery({ issuer, url, timeoutMs: ANSWER_MS });
    for (const field of ["authorization_endpoint", "token_endpoint"])
      if (typeof document[field] !== "string") throw new Error(`it publishes no ${field}`);
    methods = document["code_challenge_methods_supported"];
  } catch (error) {
    return fail(
      `browsers cannot sign in with ${issuer}: ${messageOf(error)}`,
      "check KEYCLOAK_ISSUER, and OIDC_DISCOVERY_URL where this machine reaches the issuer at another address",
    );
  }
  // Some issuers support PKCE and do not say so.
  if (Array.isArray(methods) && !methods.includes("S256"))
    return fail(`${issuer} does not support PKCE with S256`, "enable it for the client OIDC_CLIENT_ID");
  const callback =
    publicUrl === undefined ? `<URL of the service>${CALLBACK_PATH}` : redirectUri(new URL(publicUrl));
  return ok(`browsers sign in as ${client.id}, whose redirect URI is ${callback}`);
}
