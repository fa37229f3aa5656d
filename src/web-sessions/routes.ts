import { Elysia } from "elysia";
import { defaultToEmptyBody, errorResponses, optionalBody, sharedModels } from "../api/schemas.ts";
import type { RateLimits } from "../auth/guard.ts";
import type { LocalIssuer } from "../auth/local-issuer.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { AppError } from "../shared/errors.ts";
import { webSessionModels } from "./model.ts";
import { useSignInCode } from "./store.ts";
import type { WebSession, WebSessions } from "./web-sessions.ts";

/** Signing browsers in and out. Every reply is for one browser, and some have secrets. */
export function webSessionRoutes(options: {
  orm: Orm;
  config: Pick<Config, "auth">;
  sessions: WebSessions;
  /** Undefined: links sign nobody in. */
  issuer: LocalIssuer | undefined;
  /** Whether a request comes from this machine. */
  isLocal: (request: Request) => boolean;
  limits: RateLimits | undefined;
  onRefused: (request: Request, reason: string) => void;
  /** Reads JSON bodies, and refuses unknown fields. */
  input: Elysia;
}) {
  const { orm, config, sessions, issuer, isLocal, limits, onRefused, input } = options;
  const { mode } = config.auth;
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
    sign_in: mode === "local" ? ("local" as const) : ("none" as const),
    expires_at: session?.expiresAt?.toISOString() ?? null,
  });

  return (
    new Elysia()
      .use(input)
      .model({ ...sharedModels, ...webSessionModels })
      // None of these needs a token, so that each counts for its address.
      .onBeforeHandle({ as: "local" }, async ({ request, set }) => {
        set.headers["cache-control"] = "no-store";
        const allowance = await limits?.byAddress(request);
        Object.assign(set.headers, allowance?.headers);
        if (allowance?.refusal) throw allowance.refusal;
      })
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
          const { cookie } = await sessions.end(request, { everywhere: body.everywhere ?? false });
          set.headers["set-cookie"] = cookie;
          return { success: true, message: "Signed out", sign_out_url: null };
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
      )
  );

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
