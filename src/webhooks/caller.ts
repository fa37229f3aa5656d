import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { AppError } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";

/** Seconds that a signature's timestamp may differ from this machine's clock. */
const WINDOW_S = 300;

/**
 * Checks that a webhook comes from somebody who knows WEBHOOK_SECRET: by `Authorization: Bearer <secret>`, or, without
 * sending the secret, by `X-Webhook-Signature: sha256=<hex>`, the HMAC-SHA256 of `<X-Webhook-Timestamp>.<body>`. The
 * same signature sent again within the window is accepted: what a webhook does is done once however often it comes.
 * @throws AppError `forbidden` where no secret is configured, else `unauthorized`.
 */
export function checkCaller(options: {
  secret: Secret | undefined;
  headers: Headers;
  /** Byte for byte as it came. */
  body: Uint8Array;
  /** Milliseconds since the epoch. */
  now: number;
}): void {
  const { secret, headers, body, now } = options;
  if (secret === undefined)
    throw new AppError(
      "webhooks_closed",
      "Webhooks are closed: this service has no WEBHOOK_SECRET to know its callers by.",
    );
  const bearer = /^bearer +(\S+) *$/i.exec(headers.get("authorization") ?? "")?.[1];
  if (bearer !== undefined) {
    if (same(bearer, secret.reveal())) return;
    throw new AppError("unauthorized", "The bearer token is not the WEBHOOK_SECRET.");
  }
  const timestamp = headers.get("x-webhook-timestamp") ?? "";
  const signature = headers.get("x-webhook-signature") ?? "";
  if (timestamp === "" || signature === "")
    throw new AppError(
      "unauthorized",
      "This needs X-Webhook-Timestamp and X-Webhook-Signature, or the secret as `Authorization: Bearer <secret>`.",
    );
  // Before the time is looked at: whoever does not know the secret learns nothing of this machine's clock.
  const expected = createHmac("sha256", secret.reveal()).update(`${timestamp}.`).update(body).digest("hex");
  if (!same(signature.toLowerCase(), `sha256=${expected}`))
    throw new AppError("unauthorized", "The signature does not fit the timestamp and the body.");
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(now / 1000 - Number(timestamp)) > WINDOW_S)
    throw new AppError(
      "unauthorized",
      `X-Webhook-Timestamp must be the time in seconds since 1970, at most ${WINDOW_S} s off.`,
    );
}

/** In a time that says nothing of where, or by how many characters, they differ. */
function same(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => createHash("sha256").update(text).digest()) as [Buffer, Buffer];
  return timingSafeEqual(a, b);
}
