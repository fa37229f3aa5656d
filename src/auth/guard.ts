import { Elysia } from "elysia";
import { AppError } from "../shared/errors.ts";
import type { TokenVerifier, User } from "./claims.ts";

/** The state of a rate limit after one more request. */
export interface Allowance {
  /** The reply's RateLimit headers. */
  headers: Readonly<Record<string, string>>;
  /** `rate_limited` once the limit is exceeded. */
  refusal: AppError | undefined;
}

/** Counts requests; each call counts one. Never rejects: while counting fails, nobody is limited. */
export interface RateLimits {
  byUser(id: string): Promise<Allowance>;
  /** For unauthenticated requests. */
  byAddress(request: Request): Promise<Allowance>;
}

/** Of a request without a token. @returns whose web session it is; undefined if it has no cookie of one. @throws AppError */
type UserOfCookie = (request: Request) => Promise<User | undefined>;
/** Uses a ticket up. @returns whose it was; undefined for one that is not valid. */
type RedeemTicket = (ticket: string) => Promise<User | undefined>;
type Outcome = { user: User } | { refusal: unknown; challenge: string };
type LimitedOutcome = Outcome & { headers?: Allowance["headers"] };

/** RFC 6750: the scheme in any case, then one token of the characters that a token may have. */
const BEARER = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i;
const NOBODY: User = Object.freeze({ id: "", roles: [], expiresAt: Number.POSITIVE_INFINITY });
const CHALLENGE = "Bearer";
const CHALLENGE_INVALID_TOKEN = 'Bearer error="invalid_token"';

export type Guard = ReturnType<typeof createGuard>;

/**
 * The plugin that provides `user` to every route registered AFTER `.use(guard)` in the same controller, and answers
 * unauthenticated requests with 401 before the body is read, parsed or validated. Throws AppError `unauthorized` or a
 * specific code of its kind (with a WWW-Authenticate header), `rate_limited` (with Retry-After), or
 * `identity_provider_unavailable`.
 *
 * Do not give a guarded route `parse: "none"`: with a parse hook beside it Elysia 1.4 fails on that name.
 */
export function createGuard(options: {
  verifier: TokenVerifier;
  limits?: RateLimits | undefined;
  /** Requests that need no token. Default: none. */
  exempt?: (request: Request) => boolean;
  /** Default: a cookie opens nothing. */
  userOfCookie?: UserOfCookie;
  /** Makes `?ticket=` as good as a token, for one request, whatever becomes of it. Default: a ticket opens nothing. */
  redeemTicket?: RedeemTicket;
  /** Called for each request without a valid token. @param reason an error code. */
  onRefused?: ((request: Request, reason: string) => void) | undefined;
}) {
  const { limits, exempt, redeemTicket, onRefused } = options;
  const outcomes = new WeakMap<Request, Promise<LimitedOutcome>>();
  const outcomeOf = (request: Request): Promise<LimitedOutcome> => {
    let outcome = outcomes.get(request);
    if (!outcome) {
      outcome = exempt?.(request)
        ? Promise.resolve({ user: NOBODY })
        : authenticate(request, options).then((one) => {
            if ("refusal" in one && isUnauthorized(one.refusal)) onRefused?.(request, one.refusal.code);
            return limits ? applyLimit(limits, request, one) : one;
          });
      outcomes.set(request, outcome);
    }
    return outcome;
  };

  return (
    // Elysia takes plugins of one name for the same.
    new Elysia({
      name: exempt ? "auth-guard-with-exemptions" : redeemTicket ? "auth-guard-with-tickets" : "auth-guard",
    })
      // Runs before the body is parsed, and only where there may be one. It refuses by claiming the body as
      // its own, so that nothing reads it; thrown here, the error would be taken for malformed JSON.
      .onParse({ as: "scoped" }, async ({ request }) =>
        "refusal" in (await outcomeOf(request)) ? null : undefined,
      )
      // Runs before validation, on every route. Not a macro: a derive inside one is silently ignored, and its
      // resolve runs after validation.
      .derive({ as: "scoped" }, async ({ request, set }) => {
        const outcome = await outcomeOf(request);
        Object.assign(set.headers, outcome.headers);
        if ("user" in outcome) return { user: outcome.user };
        if (isUnauthorized(outcome.refusal)) set.headers["www-authenticate"] = outcome.challenge;
        throw outcome.refusal;
      })
  );
}

const isUnauthorized = (error: unknown): error is AppError =>
  error instanceof AppError && error.kind === "unauthorized";

/** A valid token counts for its user, wherever it is sent from: invalid tokens of a neighbour do not limit them. */
async function applyLimit(limits: RateLimits, request: Request, outcome: Outcome): Promise<LimitedOutcome> {
  if ("refusal" in outcome && !isUnauthorized(outcome.refusal)) return outcome;
  const { headers, refusal } =
    "user" in outcome ? await limits.byUser(outcome.user.id) : await limits.byAddress(request);
  return refusal ? { refusal, challenge: "", headers } : { ...outcome, headers };
}

interface Credentials {
  verifier: TokenVerifier;
  userOfCookie?: UserOfCookie;
  redeemTicket?: RedeemTicket;
}

/**
 * By the ticket, else the token, else the cookie: browsers send cookies without being asked, and an old one must not
 * matter beside what the client has sent on purpose. Never rejects, because two hooks await the same outcome.
 */
function authenticate(request: Request, credentials: Credentials): Promise<Outcome> {
  const { verifier, userOfCookie, redeemTicket } = credentials;
  if (verifier.anonymous) return Promise.resolve({ user: verifier.anonymous });
  const header = request.headers.get("authorization");
  const tickets = redeemTicket ? new URL(request.url).searchParams.getAll("ticket") : [];
  const [ticket] = tickets;
  if (redeemTicket && ticket !== undefined) {
    if (header !== null || tickets.length > 1)
      return Promise.resolve(
        refused("unauthorized", "Send one ticket or the Authorization header, not several of them."),
      );
    return byTicket(verifier, redeemTicket(ticket));
  }
  return header ? byToken(verifier, header) : byCookie(header === null ? userOfCookie : undefined, request);
}

async function byToken(verifier: TokenVerifier, header: string): Promise<Outcome> {
  const token = BEARER.exec(header)?.[1];
  if (token === undefined)
    return refused("unauthorized", "The Authorization header must be `Bearer` followed by one token.");
  try {
    return { user: await verifier.verify(token) };
  } catch (refusal) {
    return { refusal, challenge: CHALLENGE_INVALID_TOKEN };
  }
}

async function byCookie(userOfCookie: UserOfCookie | undefined, request: Request): Promise<Outcome> {
  try {
    const user = await userOfCookie?.(request);
    if (user) return { user };
  } catch (refusal) {
    return { refusal, challenge: CHALLENGE };
  }
  return refused("token_missing", "A token is required: send the header `Authorization: Bearer <token>`.");
}

async function byTicket(verifier: TokenVerifier, redeemed: Promise<User | undefined>): Promise<Outcome> {
  try {
    const user = await redeemed;
    if (user && (await verifier.isTrusted(user))) return { user };
  } catch (refusal) {
    return { refusal, challenge: CHALLENGE };
  }
  return refused(
    "ticket_invalid",
    "The ticket is unknown, has expired or was used already: each is for one request. Get another one from POST /events/ticket.",
  );
}

function refused(code: "token_missing" | "ticket_invalid" | "unauthorized", message: string): Outcome {
  return { refusal: new AppError(code, message), challenge: CHALLENGE };
}
