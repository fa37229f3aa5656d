import { Elysia } from "elysia";
import { errorResponses, sharedModels } from "../api/schemas.ts";
import type { RateLimits } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { wantLook } from "../pull-requests/look-store.ts";
import { authenticateForge, forgeEventIn } from "./forge-event.ts";
import { webhookModels } from "./model.ts";
import { readAuthenticated } from "./read-authenticated.ts";

/** Callbacks of git hosts: a pull request has changed. */
export function forgeWebhookRoutes(options: {
  orm: Orm;
  config: Pick<Config, "forgeWebhookSecret">;
  limits: RateLimits | undefined;
}) {
  const { orm, config, limits } = options;
  return new Elysia().model({ ...sharedModels, ...webhookModels }).post(
    "/webhook/forge",
    async ({ body }) => {
      const event = forgeEventIn(body);
      const count = event === undefined ? 0 : await wantLook(orm, event);
      const message =
        count === 0
          ? "No session has an open pull request that this is about"
          : count === 1
            ? "A pull request is read again"
            : `${count} pull requests are read again`;
      return { success: true, message };
    },
    {
      parse: "none",
      async transform(context) {
        const { headers } = context.request;
        const authenticate = (body: Uint8Array) =>
          authenticateForge({ secret: config.forgeWebhookSecret, headers, body });
        // The schema judges what it is.
        context.body = (await readAuthenticated(context, { limits, authenticate })) as typeof context.body;
      },
      body: "ForgeEventInput",
      detail: {
        operationId: "handlers_webhooks_forge",
        summary: "Report a change at a git host",
        description:
          "For webhooks of GitHub, GitLab, Gitea and Forgejo with the content type application/json: events of pull requests (merge requests), their reviews, and checks (pipelines). Authenticated by FORGE_WEBHOOK_SECRET, set there as the secret. What has changed is read from the host itself, whatever the body says of it; a repetition does no harm.",
        tags: ["Webhooks"],
        security: [{ ForgeSignature: [] }, { ForgeToken: [] }],
      },
      response: { 200: "ForgeEventOutput", ...errorResponses(400, 401, 403, 413, 415, 422, 500) },
    },
  );
}
