import { Elysia } from "elysia";
import { errorReplies, wireModels } from "../api/schemas.ts";
import type { RateLimits } from "../auth/limits.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { markItemReturned } from "../sandboxes/store.ts";
import { AppError } from "../shared/errors.ts";
import { checkCaller } from "./caller.ts";
import { webhookModels } from "./model.ts";
import { redeploy } from "./railway.ts";

/** What the IP allocator tells: something that was lent is back. */
export function webhookRoutes(options: {
  orm: Orm;
  config: Pick<Config, "webhookSecret" | "railway">;
  limits: RateLimits | undefined;
  /** Reads a body as it came, within bounds; and what it means. */
  readBytes: (request: Request) => Promise<Uint8Array>;
  jsonOf: (bytes: Uint8Array) => unknown;
  logger: Logger;
  /** Milliseconds since the epoch. */
  now?: () => number;
}) {
  const { orm, config, limits, readBytes, jsonOf, logger, now = Date.now } = options;
  return new Elysia().model({ ...wireModels, ...webhookModels }).post(
    "/webhook/return",
    async ({ body }) => {
      const sessions = await markItemReturned(orm, body.item);
      // Only when it was still held: a webhook that comes twice deploys once.
      if (sessions.length > 0 && config.railway) void redeploy(config.railway, logger);
      const message =
        sessions.length > 0
          ? "The item is marked as returned"
          : "No session holds this item; it was returned before, or is not ours";
      return { success: true, message };
    },
    {
      // The signature is over the bytes as they came, and is looked at before what they mean.
      parse: "none",
      async transform(context) {
        const { request, set } = context;
        const raw = await readBytes(request);
        try {
          checkCaller({ secret: config.webhookSecret, headers: request.headers, body: raw, now: now() });
        } catch (refusal) {
          const allowance = await limits?.ofStranger(request);
          Object.assign(set.headers, allowance?.headers);
          throw allowance?.refusal ?? refusal;
        }
        context.body = withItem(jsonOf(raw));
      },
      body: "ReturnItemInput",
      detail: {
        operationId: "handlers_webhooks_return_item",
        summary: "A lent sandbox is back",
        description:
          "For the IP allocator. Authenticated by the configured WEBHOOK_SECRET: either as a bearer token, or by X-Webhook-Timestamp (seconds since 1970, at most 5 minutes off) and X-Webhook-Signature (`sha256=` and the hexadecimal HMAC-SHA256 of `<timestamp>.<body>`). It may be sent again.",
        tags: ["Webhooks"],
        security: [{ WebhookSignature: [], WebhookTimestamp: [] }, { WebhookSecret: [] }],
      },
      response: { 200: "ReturnItemOutput", ...errorReplies(400, 401, 403, 413, 422, 500) },
    },
  );
}

function withItem(body: unknown): { item: unknown } {
  if (typeof body !== "object" || body === null || !("item" in body))
    throw new AppError("invalid", 'The body must be an object with an "item".');
  return { item: body.item };
}
