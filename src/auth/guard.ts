import { Elysia } from "elysia";
import { AppError } from "../shared/errors.ts";
import type { TokenVerifier, User } from "./claims.ts";
import type { Allowance, RateLimits } from "./limits.ts";

type Outcome = { user: User } | { refusal: unknown; challenge: string };
type Judgement = Outcome & { headers?: Allowance["headers"] };

/** RFC 6750: the scheme in any case, one token of the characters that a token may have. */
const BEARER = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i;
const CHALLENGE = "Bearer";
const CHALLENGE_BAD_TOKEN = 'Bearer error="invalid_token"';

/**
 * The plugin that gives `user` to every route registered AFTER `.use(guard)` in the same controller, and
 * answers anybody else with 401 before the body is read, parsed or validated. Throws AppError `unauthorized`
 * (with a WWW-Authenticate header), `too_many_requests` (with Retry-After) or `unavailable`.
 *
 * Do not give a guarded route `parse: "none"`: with a parse hook beside it Elysia 1.4 fails on that name.
 */
export function createGuard({
  verifier,
  limits,
}: {
  verifier: TokenVerifier;
  limits?: RateLimits | undefined;
}) {
  const outcomes = new WeakMap<Request, Promise<Judgement>>();
  const judge = (request: Request): Promise<Judgement> => {
    let outcome = outcomes.get(request);
    if (!outcome) {
      outcome = judgeHeader(verifier, request.headers.get("authorization")).then((one) =>
        limits ? counted(limits, request, one) : one,
      );
      outcomes.set(request, outcome);
    }
    return outcome;
  };

  return (
    new Elysia({ name: "auth-guard" })
      // Runs before the body is parsed, and only where there may be one. It refuses by claiming the body as
      // its own, so that nothing reads it; thrown here, the error would be taken for malformed JSON.
      .onParse({ as: "scoped" }, async ({ request }) =>
        "refusal" in (await judge(request)) ? null : undefined,
      )
      // Runs before validation, on every route. Not a macro: a derive inside one is silently ignored, and its
      // resolve runs after validation.
      .derive({ as: "scoped" }, async ({ request, set }) => {
        const outcome = await judge(request);
        Object.assign(set.headers, outcome.headers);
        if ("user" in outcome) return { user: outcome.user };
        if (outcome.refusal instanceof AppError && outcome.refusal.kind === "unauthorized")
          set.headers["www-authenticate"] = outcome.challenge;
        throw outcome.refusal;
      })
  );
}

/** Good tokens count for their user wherever they come from, so that nobody is stopped by a neighbour's bad ones. */
async function counted(limits: RateLimits, request: Request, outcome: Outcome): Promise<Judgement> {
  const stranger = "refusal" in outcome;
  if (stranger && !(outcome.refusal instanceof AppError && outcome.refusal.kind === "unauthorized"))
    return outcome;
  const { headers, refusal } = stranger
    ? await limits.ofStranger(request)
    : await limits.ofUser(outcome.user.id);
  return refusal ? { refusal, challenge: "", headers } : { ...outcome, headers };
}

/** Never rejects: the same outcome is looked at in two hooks. */
async function judgeHeader(verifier: TokenVerifier, header: string | null): Promise<Outcome> {
  if (verifier.anonymous) return { user: verifier.anonymous };
  if (!header)
    return refused("token_missing", "This needs a token: send the header `Authorization: Bearer <token>`.");
  const token = BEARER.exec(header)?.[1];
  if (token === undefined)
    return refused("unauthorized", "The Authorization header is not `Bearer` followed by one token.");
  try {
    return { user: await verifier.verify(token) };
  } catch (refusal) {
    return { refusal, challenge: CHALLENGE_BAD_TOKEN };
  }
}

function refused(code: "token_missing" | "unauthorized", message: string): Outcome {
  return { refusal: new AppError(code, message), challenge: CHALLENGE };
}
