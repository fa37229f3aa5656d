import * as oauth from "oauth4webapi";
import { fetchDiscovery } from "../auth/discovery.ts";
import type { OidcClient } from "../config/config.ts";
import { AppError } from "../shared/errors.ts";
import type { SignIn, Tokens } from "./secrets.ts";

/** Of one request to the provider. Two of them, for discovery and for tokens, end within the lease of a refresh. */
const TIMEOUT_MS = 5_000;
/** How long the discovery document is used without being fetched again. */
const DISCOVERY_MS = 600_000;
export const CALLBACK_PATH = "/auth/callback";
/** What the provider must know of this client. @param own the origin of our pages */
export const redirectUri = (own: URL): string => `${own.origin}${CALLBACK_PATH}`;

export type Provider = ReturnType<typeof openProvider>;

/**
 * The identity provider, to sign browsers in: OpenID Connect's authorization code flow with PKCE. Nothing is fetched before
 * the first sign-in. Every method throws AppError `identity_provider_unavailable` while the provider does not answer.
 */
export function openProvider(options: { issuer: string; client: OidcClient }) {
  const { issuer, client: settings } = options;
  const client: oauth.Client = { client_id: settings.id };
  let known: { server: oauth.AuthorizationServer; until: number } | undefined;

  async function discover(): Promise<oauth.AuthorizationServer> {
    if (known && Date.now() < known.until) return known.server;
    const url = settings.discoveryUrl;
    const server = await fetchDiscovery({ issuer, url, timeoutMs: TIMEOUT_MS }).catch(rethrowUnavailable);
    known = { server, until: Date.now() + DISCOVERY_MS };
    return server;
  }

  /** Whoever configures an http address has decided that the network between is trusted. */
  const requestOptions = () => ({
    [oauth.allowInsecureRequests]: (settings.discoveryUrl ?? issuer).startsWith("http:"),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });

  function authentication({ token_endpoint_auth_methods_supported: methods }: oauth.AuthorizationServer) {
    const { secret } = settings;
    if (!secret) return oauth.None();
    // The default of OpenID Connect, where the provider does not say.
    const basic = methods?.includes("client_secret_basic") ?? true;
    return basic ? oauth.ClientSecretBasic(secret.reveal()) : oauth.ClientSecretPost(secret.reveal());
  }

  return {
    /** Where to send the browser. */
    async signInUrl(signIn: SignIn, own: URL): Promise<string> {
      const { authorization_endpoint: endpoint } = await discover();
      if (!endpoint) return rethrowUnavailable(new Error("the provider publishes no authorization_endpoint"));
      const url = new URL(endpoint);
      const parameters = {
        client_id: settings.id,
        response_type: "code",
        redirect_uri: redirectUri(own),
        scope: ["openid", ...settings.scopes].join(" "),
        state: signIn.state,
        nonce: signIn.nonce,
        code_challenge: await oauth.calculatePKCECodeChallenge(signIn.verifier),
        code_challenge_method: "S256",
      };
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
      return url.href;
    },

    /**
     * Exchanges what the browser has brought back for tokens.
     * @returns the tokens, and the user whom the ID token names.
     * @throws an error of oauth4webapi for what does not belong to this sign-in, or is refused.
     */
    async exchange(answer: URLSearchParams, signIn: SignIn, own: URL) {
      const server = await discover();
      const parameters = oauth.validateAuthResponse(server, client, answer, signIn.state);
      const reply = await answered(
        oauth.authorizationCodeGrantRequest(
          server,
          client,
          authentication(server),
          parameters,
          redirectUri(own),
          signIn.verifier,
          requestOptions(),
        ),
      );
      const result = await oauth.processAuthorizationCodeResponse(server, client, reply, {
        expectedNonce: signIn.nonce,
        requireIdToken: true,
      });
      return { tokens: tokensOf(result), subject: oauth.getValidatedIdTokenClaims(result)?.sub };
    },

    /** New tokens; undefined if the provider has ended the session. */
    async refresh(old: Tokens & { refresh: string }): Promise<Tokens | undefined> {
      const server = await discover();
      const reply = await answered(
        oauth.refreshTokenGrantRequest(server, client, authentication(server), old.refresh, requestOptions()),
      );
      try {
        // A provider that does not rotate refresh tokens, or sends no new ID token, means the old ones.
        return { ...old, ...tokensOf(await oauth.processRefreshTokenResponse(server, client, reply)) };
      } catch (error) {
        if (error instanceof oauth.ResponseBodyError && error.error === "invalid_grant") return undefined;
        return rethrowUnavailable(error);
      }
    },

    /** Where to send the browser to end the provider's session as well; null if the provider has no such page. */
    async signOutUrl(idToken: string | undefined, own: URL): Promise<string | null> {
      const { end_session_endpoint: endpoint } = await discover();
      if (!endpoint) return null;
      const url = new URL(endpoint);
      if (idToken !== undefined) url.searchParams.set("id_token_hint", idToken);
      url.searchParams.set("client_id", settings.id);
      url.searchParams.set("post_logout_redirect_uri", `${own.origin}/`);
      return url.href;
    },
  };
}

const tokensOf = (result: oauth.TokenEndpointResponse): Tokens => ({
  access: result.access_token,
  ...(result.refresh_token !== undefined && { refresh: result.refresh_token }),
  ...(result.id_token !== undefined && { id: result.id_token }),
});

async function answered(request: Promise<Response>): Promise<Response> {
  const reply = await request.catch(rethrowUnavailable);
  if (reply.status >= 500 || reply.status === 429)
    return rethrowUnavailable(new Error(`the provider answered ${reply.status}`));
  return reply;
}

function rethrowUnavailable(cause: unknown): never {
  throw new AppError(
    "identity_provider_unavailable",
    "The identity provider is not available; try again in a moment.",
    { cause },
  );
}

/** Why a sign-in has failed, for the page that says so. */
export function signInProblem(error: unknown): string {
  if (error instanceof oauth.AuthorizationResponseError && error.error === "access_denied")
    return "access_denied";
  if (error instanceof AppError && error.kind === "unavailable") return "identity_provider_unavailable";
  return "sign_in_failed";
}
