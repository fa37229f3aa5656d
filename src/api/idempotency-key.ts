import type { User } from "../auth/claims.ts";
import { AppError } from "../shared/errors.ts";

/** What a route that creates knows of its request. */
export interface CreateContext {
  request: Request;
  user: User;
  body: unknown;
  set: { headers: Record<string, string | number> };
}

/** A request that may be retried, and is then answered like the first time. */
export interface IdempotentRequest {
  userId: string;
  key: string;
  /** Hash of the operation, what it is about, and the body: the same key with another fingerprint is a mistake. */
  fingerprint: string;
}

/**
 * @returns undefined without an Idempotency-Key: each request creates.
 * @throws AppError `bad_request` for a malformed key.
 */
export function idempotentRequestOf(context: CreateContext): IdempotentRequest | undefined {
  const { request, user, body } = context;
  const key = request.headers.get("idempotency-key");
  if (key === null) return undefined;
  if (!/^[\x20-\x7e]{1,255}$/.test(key))
    throw new AppError("bad_request", "Idempotency-Key: must be 1 to 255 printable ASCII characters.");
  const fingerprint = new Bun.CryptoHasher("sha256")
    .update(`${request.method} ${new URL(request.url).pathname}\n${canonical(body)}`)
    .digest("hex");
  return { userId: user.id, key, fingerprint };
}

/** JSON with sorted keys, so that their order makes no difference. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_name, one) =>
    typeof one === "object" && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );
}
