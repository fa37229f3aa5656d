import { AppError } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";

/** Largest difference, in seconds, between a signature's timestamp and this machine's clock. */
const TOLERANCE_S = 300;

/**
 * Authenticates a webhook's caller, who knows WEBHOOK_SECRET: by `Authorization: Bearer <secret>`, or, without sending
 * the secret, by `X-Webhook-Signature: sha256=<hex>`, the HMAC-SHA256 of `<X-Webhook-Timestamp>.<body>`.
 * @returns the signature, which is valid as long as the tolerance lasts, so that the caller must remember it; undefined for
 *   the bearer token, with which nothing tells a repetition from a new delivery.
 * @throws AppError `webhooks_closed` where no secret is configured, else `unauthorized`.
 */
export function authenticateCaller(options: {
  secret: Secret | undefined;
  headers: Headers;
  /** The body's bytes, as received. */
  body: Uint8Array;
  /** Milliseconds since the epoch. */
  now: number;
}): string | undefined {
  const { secret, headers, body, now } = options;
  if (secret === undefined)
    throw new AppError("webhooks_closed", "Webhooks are disabled: WEBHOOK_SECRET is not set.");
  const bearer = /^bearer +(\S+) *$/i.exec(headers.get("authorization") ?? "")?.[1];
  if (bearer !== undefined) {
    if (secret.equals(bearer)) return undefined;
    throw new AppError("unauthorized", "The bearer token is not the WEBHOOK_SECRET.");
  }
  const timestamp = headers.get("x-webhook-timestamp") ?? "";
  const signature = headers.get("x-webhook-signature") ?? "";
  if (timestamp === "" || signature === "")
    throw new AppError(
      "unauthorized",
      "Send X-Webhook-Timestamp and X-Webhook-Signature, or the secret as `Authorization: Bearer <secret>`.",
    );
  // Before the timestamp is checked: without the secret, nothing can be learnt about this machine's clock.
  const hex = /^sha256=(.*)$/.exec(signature.toLowerCase())?.[1] ?? "";
  if (!secret.sign(`${timestamp}.`, body).equals(hex))
    throw new AppError("unauthorized", "The signature does not match the timestamp and the body.");
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(now / 1000 - Number(timestamp)) > TOLERANCE_S)
    throw new AppError(
      "unauthorized",
      `X-Webhook-Timestamp must be in seconds since 1970, at most ${TOLERANCE_S} s from the current time.`,
    );
  return hex;
}
