import type { User } from "../auth/claims.ts";
import { AppError } from "../shared/errors.ts";

/** A request that may be sent again, and is then answered as the first time. */
export interface Attempt {
  userId: string;
  /** Undefined: each request creates. */
  key: string | undefined;
  /** Of the operation and the body. */
  fingerprint: string;
}

/** @throws AppError `bad_request` for a key that is none. */
export function attemptOf(options: {
  request: Request;
  user: User;
  operation: string;
  body: unknown;
}): Attempt {
  const { request, user, operation, body } = options;
  const key = request.headers.get("idempotency-key") ?? undefined;
  if (key !== undefined && !/^[\x20-\x7e]{1,255}$/.test(key))
    throw new AppError("bad_request", "Idempotency-Key: must be 1 to 255 printable ASCII characters.");
  const fingerprint =
    key === undefined
      ? ""
      : new Bun.CryptoHasher("sha256").update(`${operation}\n${canonical(body)}`).digest("hex");
  return { userId: user.id, key, fingerprint };
}

/** JSON with its names in order: what means the same is the same. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_name, one) =>
    typeof one === "object" && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );
}
