import { Elysia } from "elysia";
import { AppError } from "../errors.ts";

/** Bytes of a request's body. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** Bodies that no route could use: too large, or with characters that PostgreSQL cannot store. */
export const bodyLimits = () =>
  new Elysia({ name: "body-limits" })
    .onRequest(({ request }) => {
      if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES)
        throw new AppError("too_large", `The body is larger than ${MAX_BODY_BYTES} bytes.`);
    })
    .onTransform({ as: "global" }, ({ body }) => {
      if (hasNul(body))
        throw new AppError("invalid", "The body contains a NUL character (\\u0000), which cannot be stored.");
    });

function hasNul(value: unknown): boolean {
  if (typeof value === "string") return value.includes("\0");
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(([key, one]) => key.includes("\0") || hasNul(one));
}
