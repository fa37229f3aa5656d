import type { TokenVerifier, User } from "../auth/claims.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { AppError } from "../shared/errors.ts";
import { readSecret, secretCookie } from "./cookies.ts";
import { isRead, ownOrigin, requireOwnPage } from "./own-origin.ts";
import type { Provider } from "./provider.ts";
import { createRefresher, refreshTime } from "./refresh.ts";
import { csrfTokenOf, idOf, newSecret, seal, type Tokens, unseal } from "./secrets.ts";
import { deleteWebSession, findWebSession, insertWebSession, isWebSessionOpen, MAX_DAYS } from "./store.ts";

const CSRF_HEADER = "x-csrf-token";

/** A web session, as its browser has it. Null with AUTH_MODE=none, which needs no cookie. */
export interface WebSession {
  user: User;
  csrfToken: string | null;
  expiresAt: Date | null;
}

export type WebSessions = ReturnType<typeof openWebSessions>;

/** The sessions of browsers, which a cookie signs in: what it stands for is a bearer token that the browser never sees. */
export function openWebSessions(options: {
  orm: Orm;
  verifier: TokenVerifier;
  config: Pick<Config, "publicUrl" | "trustedProxyHops">;
  /** Undefined: tokens are not renewed. */
  provider: Provider | undefined;
}) {
  const { orm, verifier, config, provider } = options;
  const currentTokens = createRefresher({ orm, verifier, provider });
  const secretOf = (request: Request) => readSecret(request, ownOrigin(request, config));

  /** @throws AppError `session_expired`, or `identity_provider_unavailable`. */
  async function open(secret: string): Promise<WebSession> {
    const id = idOf(secret);
    const row = await findWebSession(orm, id);
    const tokens = row && (await currentTokens(id, secret, row));
    if (!tokens) throw expired();
    const user = await verifier.verify(tokens.access).catch((error: unknown) => {
      throw error instanceof AppError && error.kind === "unauthorized" ? expired(error) : error;
    });
    // A renewal may have returned another user's, and could not tell if no key was there to check them.
    if (user.id !== row.userId) {
      await deleteWebSession(orm, { id, everywhere: false });
      throw expired();
    }
    return {
      user: { ...user, webSession: id },
      csrfToken: csrfTokenOf(secret).reveal(),
      expiresAt: row.expiresAt,
    };
  }

  return {
    /**
     * Whose cookie comes with a request; undefined without one.
     * @throws AppError `origin_not_allowed` or `csrf_token_invalid` for what no page of ours has sent; `session_expired`; or
     *   `identity_provider_unavailable`.
     */
    async userOf(request: Request): Promise<User | undefined> {
      const secret = secretOf(request);
      if (secret === undefined) return undefined;
      requireOwnPage(request, config);
      if (!isRead(request)) requireCsrfToken(request, secret);
      return (await open(secret)).user;
    },

    /** The session that a page of ours is in; undefined if nobody is signed in. */
    async find(request: Request): Promise<WebSession | undefined> {
      const { anonymous } = verifier;
      if (anonymous) return { user: anonymous, csrfToken: null, expiresAt: null };
      const secret = secretOf(request);
      if (secret === undefined) return undefined;
      try {
        requireOwnPage(request, config);
        return await open(secret);
      } catch (error) {
        if (error instanceof AppError && error.kind !== "unavailable") return undefined;
        throw error;
      }
    },

    /**
     * Begins a session with a new secret, whatever cookie the request has.
     * @returns the Set-Cookie, and who is signed in.
     * @throws AppError if the token is not valid here.
     */
    async begin(request: Request, tokens: Tokens, by: "link" | "oidc") {
      const user = await verifier.verify(tokens.access);
      const secret = newSecret();
      const sealedTokens = seal(tokens, secret);
      const refreshAt = tokens.refresh === undefined ? null : refreshTime(user.expiresAt);
      await insertWebSession(orm, { id: idOf(secret), userId: user.id, sealedTokens, refreshAt, by });
      return { user, cookie: secretCookie(secret, ownOrigin(request, config), MAX_DAYS * 86_400) };
    },

    /**
     * Ends the session of a request, if there is one, or all of its user's; needs no valid token.
     * @returns the Set-Cookie that removes the cookie, and the ended session's tokens.
     * @throws AppError `origin_not_allowed` or `csrf_token_invalid`.
     */
    async end(request: Request, { everywhere }: { everywhere: boolean }) {
      requireOwnPage(request, config);
      const own = ownOrigin(request, config);
      const cookie = secretCookie("", own, 0);
      const secret = readSecret(request, own);
      if (secret === undefined) return { cookie, tokens: undefined };
      requireCsrfToken(request, secret);
      const row = await deleteWebSession(orm, { id: idOf(secret), everywhere });
      return { cookie, tokens: row && unseal(row.sealedTokens, secret) };
    },

    /** For streams: whether the user is still signed in, and the key that signed their token still published. */
    async isTrusted(user: User): Promise<boolean> {
      const isOpen = user.webSession === undefined || (await isWebSessionOpen(orm, user.webSession));
      return isOpen && verifier.isTrusted(user);
    },
  };
}

function requireCsrfToken(request: Request, secret: string): void {
  if (csrfTokenOf(secret).equals(request.headers.get(CSRF_HEADER) ?? "")) return;
  throw new AppError(
    "csrf_token_invalid",
    "A change by cookie needs the header X-CSRF-Token with the csrf_token of GET /auth/session.",
  );
}

const expired = (cause?: unknown) =>
  new AppError("session_expired", "The web session has ended; sign in again.", { cause });
