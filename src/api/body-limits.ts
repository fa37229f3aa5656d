import { Elysia } from "elysia";
import { AppError } from "../shared/errors.ts";

/** Bytes of a request's body. */
export const MAX_BODY_BYTES = 1024 * 1024;

export const tooLarge = () => new AppError("too_large", `The body is larger than ${MAX_BODY_BYTES} bytes.`);

/** Requests that no route could use: bodies that say they are too large, and characters that PostgreSQL cannot store. */
export const bodyLimits = () =>
  new Elysia({ name: "body-limits" })
    .onRequest(({ request }) => {
      if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) throw tooLarge();
    })
    .onTransform({ as: "global" }, ({ query }) => {
      for (const [name, value] of Object.entries(query))
        if ([value].flat().some((one) => typeof one === "string" && one.includes("\0")))
          throw new AppError("invalid", `${name}: contains a NUL character (%00).`);
    });
