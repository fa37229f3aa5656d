import { Elysia } from "elysia";
import { errorResponses, sharedModels } from "../api/schemas.ts";
import type { RateLimits } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { AppError } from "../shared/errors.ts";
import { authenticateCaller } from "./authenticate-caller.ts";
import { webhookModels } from "./model.ts";
import { redeploy } from "./railway.ts";
import { readAuthenticated } from "./read-authenticated.ts";
import { acceptReturn } from "./store.ts";

/** The IP allocator's callback: a borrowed sandbox was returned. */
export function webhookRoutes(options: {
  orm: Orm;
  config: Pick<Config, "webhookSecret" | "railway">;
  limits: RateLimits | undefined;
  logger: Logger;
  /** Milliseconds since the epoch. */
  now?: () => number;
}) {
  const { orm, config, limits, logger, now = Date.now } = options;
  const signatures = new WeakMap<Request, string>();
  return new Elysia().model({ ...sharedModels, ...webhookModels }).post(
    "/webhook/return",
    async ({ body, request }) => {
      const sessions = await acceptReturn(orm, { item: body.item, signature: signatures.get(request) });
      if (sessions === "repeated")
        return { success: true, message: "This delivery was accepted before, and is not repeated" };
      // Only if a session held it: a webhook that is delivered twice redeploys once.
      if (sessions.length > 0 && config.railway) void redeploy(config.railway, logger);
      const message =
        sessions.length > 0
          ? "The item is marked as returned"
          : "No session holds this item: it was returned before, or is unknown";
      return { success: true, message };
    },
    {
      parse: "none",
      async transform(context) {
        const { request } = context;
        const { headers } = request;
        const authenticate = (body: Uint8Array) => {
          const secret = config.webhookSecret;
          const signature = authenticateCaller({ secret, headers, body, now: now() });
          if (signature !== undefined) signatures.set(request, signature);
        };
        context.body = requireItem(await readAuthenticated(context, { limits, authenticate }));
      },
      body: "ReturnItemInput",
      detail: {
        operationId: "handlers_webhooks_return_item",
        summary: "Report a returned sandbox",
        description:
          "For the IP allocator; safe to repeat. Authenticated by WEBHOOK_SECRET: as a bearer token, or by X-Webhook-Timestamp (seconds since 1970, at most 5 minutes off) and X-Webhook-Signature (`sha256=` and the hexadecimal HMAC-SHA256 of `<timestamp>.<body>`). A delivery with a signature takes effect once: a repetition is answered 200 and changes nothing. The bearer token cannot protect from replays; prefer signatures.",
        tags: ["Webhooks"],
        security: [{ WebhookSignature: [], WebhookTimestamp: [] }, { WebhookSecret: [] }],
      },
      response: { 200: "ReturnItemOutput", ...errorResponses(400, 401, 403, 413, 415, 422, 500) },
    },
  );
}

function requireItem(body: unknown): { item: unknown } {
  if (typeof body !== "object" || body === null || !("item" in body))
    throw new AppError("invalid", 'The body must be an object with an "item".');
  return { item: body.item };
}
