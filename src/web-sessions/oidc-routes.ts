import { Elysia } from "elysia";
import type { RateLimits } from "../auth/guard.ts";
import type { TokenVerifier } from "../auth/verify.ts";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import { AppError } from "../shared/errors.ts";
import { readSignIn, signInCookie } from "./cookies.ts";
import { countByAddress } from "./count-by-address.ts";
import { ownOrigin } from "./own-origin.ts";
import { CALLBACK_PATH, type Provider, signInProblem } from "./provider.ts";
import { newSecret, signInOf } from "./secrets.ts";
import type { WebSessions } from "./web-sessions.ts";

/**
 * Signs browsers in with the identity provider. People come here, not programs, so that each reply leads to a page, which
 * shows what has failed.
 */
export function oidcRoutes(options: {
  config: Pick<Config, "publicUrl" | "trustedProxyHops">;
  sessions: WebSessions;
  verifier: TokenVerifier;
  /** Undefined: not configured. */
  provider: Provider | undefined;
  /** Whether a host of a URL is this machine. */
  isLoopback: (hostname: string) => boolean;
  limits: RateLimits | undefined;
  onRefused: (request: Request, reason: string) => void;
  logger: Logger;
}) {
  const { config, sessions, verifier, provider, isLoopback, limits, onRefused, logger } = options;
  const hidden = { detail: { hide: true } };
  const leadTo = (set: Set, location: string, ...cookies: string[]) => {
    set.status = 302;
    set.headers["location"] = location;
    if (cookies.length > 0) set.headers["set-cookie"] = cookies;
    return "";
  };
  const failure = (problem: string) => `/sign-in?error=${problem}`;

  return new Elysia()
    .onBeforeHandle({ as: "local" }, countByAddress(limits))
    .get(
      "/auth/sign-in",
      async ({ request, set }) => {
        const client = requireProvider();
        const own = ownOrigin(request, config);
        // The session's cookie would be read on its way.
        if (own.protocol !== "https:" && !isLoopback(own.hostname))
          return leadTo(set, failure("sign_in_unencrypted"));
        const secret = newSecret();
        try {
          const url = await client.signInUrl(signInOf(secret), own);
          return leadTo(set, url, signInCookie({ secret, returnTo: ownPage(request, own) }, own));
        } catch (error) {
          logger.warn("a sign-in could not begin", { error });
          return leadTo(set, failure(signInProblem(error)));
        }
      },
      hidden,
    )
    .get(
      CALLBACK_PATH,
      async ({ request, set }) => {
        const client = requireProvider();
        const own = ownOrigin(request, config);
        const started = readSignIn(request, own);
        const answer = new URL(request.url).searchParams;
        // Bound to this browser: nobody is signed in as somebody else by a link.
        if (!started || answer.get("state") !== signInOf(started.secret).state)
          return leadTo(set, failure("sign_in_expired"));
        const ended = signInCookie(undefined, own);
        try {
          const { tokens, subject } = await client.exchange(answer, signInOf(started.secret), own);
          const user = await verifier.verify(tokens.access);
          if (user.id !== subject) throw new Error("the ID token and the access token name different users");
          const { cookie } = await sessions.begin(request, tokens, "oidc");
          return leadTo(set, ownPath(started.returnTo, own), ended, cookie);
        } catch (error) {
          logger.warn("a sign-in failed", { error });
          if (error instanceof AppError) onRefused(request, error.code);
          return leadTo(set, failure(signInProblem(error)), ended);
        }
      },
      hidden,
    );

  function requireProvider(): Provider {
    if (provider) return provider;
    throw new AppError(
      "sign_in_closed",
      "Browsers do not sign in with an identity provider here: OIDC_CLIENT_ID is not set.",
    );
  }
}

interface Set {
  status?: number | string;
  headers: Record<string, unknown>;
}

const MAX_PATH_LENGTH = 1_000;

const ownPage = (request: Request, own: URL) =>
  ownPath(new URL(request.url).searchParams.get("return_to") ?? "/", own);

/** A path of our own pages; `/` for everything that a browser might understand as another address. */
function ownPath(path: string, own: URL): string {
  if (path.length > MAX_PATH_LENGTH || !/^\/(?![/\\])[^\\\s\p{Cc}]*$/u.test(path)) return "/";
  const url = URL.parse(path, own.origin);
  if (url?.origin !== own.origin || url.pathname.startsWith("//") || url.pathname.startsWith("/auth/"))
    return "/";
  return `${url.pathname}${url.search}${url.hash}`;
}
