import { Elysia, t } from "elysia";
import { AGENT_NAMES, type AgentName } from "../agents/agent.ts";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import {
  enumOf,
  errorResponses,
  NotModified,
  nullable,
  securedOperation,
  sharedModels,
  Timestamp,
} from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { countUnfinished } from "../prompts/create-store.ts";
import { NANO } from "../spend/money.ts";
import { userBudgets } from "../usage/store.ts";

const meModels = {
  MeOutput: t.Object({
    id: t.String({ examples: ["9f3c2a52-1c1f-4d8e-9a0c-5b1f2d3e4a5b"] }),
    name: nullable(t.String({ description: "From the token", examples: ["Alice"] })),
    email: nullable(
      t.String({ description: "From the token; perhaps not confirmed", examples: ["alice@example.com"] }),
    ),
    roles: t.Array(t.String(), { examples: [["admin"]] }),
    expires_at: nullable({ ...Timestamp, description: "When the token expires; null: never" }),
    limits: t.Object({
      unfinished_prompts: t.Integer({ description: "Prompts queued or running now", examples: [2] }),
      requests_per_minute: nullable(t.Integer({ description: "null: unlimited", examples: [6000] })),
      max_unfinished_prompts: t.Integer({
        description: "Further prompts are refused with 429",
        examples: [100],
      }),
      budget_left_usd: nullable(
        t.Number({
          format: "double",
          description:
            "What model calls may still cost, by the budget of which the least is left; null: there is none",
          examples: [16.39],
        }),
      ),
      budget_resets_at: nullable({ ...Timestamp, description: "When that budget begins anew" }),
      prompt_budget_usd: nullable(
        t.Number({
          format: "double",
          description: "What a prompt may be sent with as its `budget_usd` at most; null: any amount",
          examples: [5],
        }),
      ),
    }),
    agent: t.Object({
      name: enumOf(AGENT_NAMES, {
        description: "What answers prompts: Claude Code, the operator's own program, or the built-in demo",
        examples: ["claude"],
      }),
      reason: nullable(
        t.String({
          description: "Why it is the demo; null: it is not",
          examples: ["ANTHROPIC_API_KEY is not set"],
        }),
      ),
    }),
    embedded: t.Boolean({
      description: "The database is in the service's own process, which needs nothing else",
      examples: [false],
    }),
  }),
};

/** What a newcomer's first page must know of the service. Every user may read it: no secrets, no paths. */
export interface Setup {
  agent: { name: AgentName; reason: string | null };
  embedded: boolean;
}

/** The current user: name, e-mail, roles, the token's expiry, limits and how much of them is used; and the service's setup. */
export function meRoutes(options: {
  orm: Orm;
  guard: Guard;
  setup: Setup;
  config: Pick<Config, "auth" | "maxUnfinishedPrompts" | "rateLimitPerMinute" | "spending">;
}) {
  const { orm, guard, setup, config } = options;
  const perMinute = config.auth.mode === "none" ? 0 : config.rateLimitPerMinute;
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...meModels })
    .get(
      "/me",
      async (context) => {
        const { user, status } = context;
        const [unfinished, budgets] = await Promise.all([
          countUnfinished(orm, user.id, config.maxUnfinishedPrompts),
          userBudgets(orm, user.id, config.spending.budgets),
        ]);
        const { run } = config.spending.budgets;
        const [least] = budgets.toSorted((one, other) => one.left_usd - other.left_usd);
        const me = {
          id: user.id,
          name: user.name ?? null,
          email: user.email ?? null,
          roles: [...user.roles],
          expires_at: Number.isFinite(user.expiresAt) ? new Date(user.expiresAt).toISOString() : null,
          limits: {
            unfinished_prompts: unfinished,
            requests_per_minute: perMinute || null,
            max_unfinished_prompts: config.maxUnfinishedPrompts,
            budget_left_usd: least?.left_usd ?? null,
            budget_resets_at: least?.resets_at ?? null,
            prompt_budget_usd: run === undefined ? null : run / NANO,
          },
          ...setup,
        };
        return isUnchanged(context, weakEtag(me)) ? status(304, undefined) : me;
      },
      {
        detail: securedOperation("Me")("handlers_me", "Get the current user and limits"),
        response: { 200: "MeOutput", 304: NotModified, ...errorResponses(401, 500) },
      },
    );
}
