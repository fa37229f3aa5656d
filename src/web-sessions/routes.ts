import { Elysia } from "elysia";
import { defaultToEmptyBody, errorResponses, optionalBody, sharedModels } from "../api/schemas.ts";
import type { RateLimits } from "../auth/guard.ts";
import type { LocalIssuer } from "../auth/local-issuer.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { AppError } from "../shared/errors.ts";
import { countByAddress } from "./count-by-address.ts";
import { webSessionModels } from "./model.ts";
import { ownOrigin, requireOwnPage } from "./own-origin.ts";
import type { Provider } from "./provider.ts";
import type { Tokens } from "./secrets.ts";
import { useSignInCode } from "./store.ts";
import type { WebSession, WebSessions } from "./web-sessions.ts";

/** Signing browsers in and out. Every reply is for one browser, and some have secrets. */
export function webSessionRoutes(options: {
  orm: Orm;
  config: Pick<Config, "auth" | "publicUrl" | "trustedProxyHops">;
  sessions: WebSessions;
  /** Undefined: no identity provider signs browsers in. */
  provider: Provider | undefined;
  /** Undefined: links sign nobody in. */
  issuer: LocalIssuer | undefined;
  /** Whether a request comes from this machine. */
  isLocal: (request: Request) => boolean;
  limits: RateLimits | undefined;
  onRefused: (request: Request, reason: string) => void;
  /** Reads JSON bodies, and refuses unknown fields. */
  input: Elysia;
}) {
  const { orm, config, sessions, provider, issuer, isLocal, limits, onRefused, input } = options;
  const { mode } = config.auth;
  const signIn = provider ? ("oidc" as const) : mode === "local" ? ("local" as const) : ("none" as const);
  const detail = (operationId: string, summary: string, description: string) => ({
    operationId,
    summary,
    description,
    tags: ["Sign-in"],
    security: [],
  });
  const sessionOf = (session: WebSession | undefined) => ({
    signed_in: session !== undefined,
    user: session
      ? {
          id: session.user.id,
          name: session.user.name ?? null,
          email: session.user.email ?? null,
          roles: [...session.user.roles],
        }
      : null,
    csrf_token: session?.csrfToken ?? null,
    auth_mode: mode,
    sign_in: signIn,
    expires_at: session?.expiresAt?.toISOString() ?? null,
  });

  return new Elysia()
    .use(input)
    .model({ ...sharedModels, ...webSessionModels })
    .onBeforeHandle({ as: "local" }, countByAddress(limits))
    .get("/auth/session", async ({ request }) => sessionOf(await sessions.find(request)), {
      detail: detail(
        "handlers_auth_session",
        "Get the web session of this browser",
        "For pages of this service: who is signed in by the cookie, and the token that changes need. Also answers 200 when nobody is.",
      ),
      response: { 200: "WebSessionOutput", ...errorResponses(429, 500, 503) },
    })
    .post(
      "/auth/local",
      async ({ request, body, set }) => {
        try {
          requireOwnPage(request, config);
          const { token } = await exchange(request, body.code);
          const { cookie } = await sessions.begin(request, { access: token }, "link");
          set.headers["set-cookie"] = cookie;
          return { success: true, message: "Signed in" };
        } catch (error) {
          if (error instanceof AppError) onRefused(request, error.code);
          throw error;
        }
      },
      {
        body: "SignInLocalInput",
        detail: detail(
          "handlers_auth_sign_in_local",
          "Sign in with the link of this machine",
          "Exchanges the code of the link that `prompt-backend` and `prompt-backend open` print for a cookie. The code is valid for 10 minutes, once, and on this machine only. With AUTH_MODE=local.",
        ),
        response: { 200: "SignInLocalOutput", ...errorResponses(400, 401, 403, 413, 415, 422, 500) },
      },
    )
    .post(
      "/auth/sign-out",
      async ({ request, body, set }) => {
        const { cookie, tokens } = await sessions.end(request, { everywhere: body.everywhere ?? false });
        set.headers["set-cookie"] = cookie;
        return { success: true, message: "Signed out", sign_out_url: await signOutUrl(request, tokens) };
      },
      {
        body: "SignOutInput",
        transform: defaultToEmptyBody,
        detail: {
          ...detail(
            "handlers_auth_sign_out",
            "Sign out",
            "Ends the web session of this browser, or all of its user's; open streams end within 15 s. Needs the cookie and X-CSRF-Token; without a session it does nothing.",
          ),
          ...optionalBody,
        },
        response: { 200: "SignOutOutput", ...errorResponses(400, 403, 413, 415, 422, 429, 500) },
      },
    );

  /** Null also while the provider does not answer: the session here has ended, which must not fail. */
  async function signOutUrl(request: Request, tokens: Tokens | undefined): Promise<string | null> {
    if (!provider || !tokens) return null;
    return provider.signOutUrl(tokens.id, ownOrigin(request, config)).catch(() => null);
  }

  async function exchange(request: Request, code: string) {
    if (!issuer)
      throw new AppError(
        "sign_in_closed",
        "Links sign in with AUTH_MODE=local only; the mode is another one.",
      );
    if (!isLocal(request))
      throw new AppError("sign_in_closed", "This link signs in on the machine of the service only.");
    const exchanged = await issuer.exchangeSignInCode(code);
    await useSignInCode(orm, code, exchanged.expiresAt);
    return exchanged;
  }
}
