import { Elysia, t } from "elysia";
import { errorReplies, nullable, Time, wireModels } from "../api/schemas.ts";
import type { createGuard } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { countUnfinished } from "../prompts/create-store.ts";

/** What a client wants to know about its user: name, roles, how long the token lasts, what may be used. */
export function meRoutes(options: {
  orm: Orm;
  guard: ReturnType<typeof createGuard>;
  config: Pick<Config, "auth" | "maxUnfinishedPrompts" | "rateLimitPerMinute">;
}) {
  const { orm, guard, config } = options;
  const perMinute = config.auth.mode === "none" ? 0 : config.rateLimitPerMinute;
  return new Elysia()
    .use(guard)
    .model({
      ...wireModels,
      MeOutput: t.Object({
        id: t.String({ examples: ["9f3c2a52-1c1f-4d8e-9a0c-5b1f2d3e4a5b"] }),
        name: nullable(t.String({ description: "As the token has it", examples: ["Alice"] })),
        roles: t.Array(t.String(), { examples: [["admin"]] }),
        expires_at: nullable({ ...Time, description: "When the token ends; null: never" }),
        limits: t.Object({
          unfinished_prompts: t.Integer({ description: "Prompts that wait or run now", examples: [2] }),
          requests_per_minute: nullable(
            t.Integer({ description: "null: as many as you like", examples: [6000] }),
          ),
          max_unfinished_prompts: t.Integer({ description: "More are refused with 429", examples: [100] }),
        }),
      }),
    })
    .get(
      "/me",
      async ({ user }) => ({
        id: user.id,
        name: user.name ?? null,
        roles: [...user.roles],
        expires_at: Number.isFinite(user.expiresAt) ? new Date(user.expiresAt).toISOString() : null,
        limits: {
          unfinished_prompts: await countUnfinished(orm, user.id, config.maxUnfinishedPrompts),
          requests_per_minute: perMinute || null,
          max_unfinished_prompts: config.maxUnfinishedPrompts,
        },
      }),
      {
        detail: {
          operationId: "handlers_me",
          summary: "Who am I, and what may I use",
          tags: ["Me"],
          security: [{ Bearer: [] }],
        },
        response: { 200: "MeOutput", ...errorReplies(401, 500) },
      },
    );
}
