import { Elysia } from "elysia";
import { nextCursor } from "../api/paging.ts";
import { errorResponses, idParams, parseLimit, securedOperation, sharedModels } from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import { requireAdmin } from "../auth/require-admin.ts";
import type { Orm } from "../db/client.ts";
import { AppError } from "../shared/errors.ts";
import type { SpendRules } from "../spend/meter.ts";
import { csvOf } from "./csv.ts";
import { usageModels, usageQuery } from "./model.ts";
import { listUsage, readBudgets, sessionUsage, toBudget, totalUsage, userBudgets } from "./store.ts";

const DAY_MS = 86_400_000;
const DEFAULT_DAYS = 30;
const MOST_DAYS = 366;
const CSV = "text/csv";

/** What model calls have used and what they may still cost. */
export function usageRoutes(options: { orm: Orm; guard: Guard; limits: SpendRules["limits"] }) {
  const { orm, guard, limits } = options;
  const detail = securedOperation("Usage");
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...usageModels })
    .get(
      "/usage",
      async ({ user, query, request }) => {
        const { scope = "own", group_by: groupBy = "day", limit, cursor } = query;
        if (scope === "all") requireAdmin(user);
        const days = daysOf(query, new Date());
        const wanted = { ...days, groupBy, userId: scope === "all" ? undefined : user.id };
        // Elysia sends a Response as it is; the schema describes the JSON.
        if (request.headers.get("accept")?.toLowerCase().includes(CSV))
          return csvReply(csvOf(groupBy, (await listUsage(orm, wanted)).rows)) as never;
        const [page, total] = await Promise.all([
          listUsage(orm, { ...wanted, limit, cursor }),
          totalUsage(orm, wanted),
        ]);
        return { usage: page.rows, total, ...nextCursor({ limit }, page) };
      },
      {
        query: usageQuery,
        transform: parseLimit,
        detail: detail(
          "handlers_usage_list",
          "List model usage",
          `Counted where the calls pass, not where agents say. By day, repository, model, agent, session or, for the role admin with \`scope=all\`, user. At most ${MOST_DAYS} days. With \`Accept: ${CSV}\` all of it as a table.`,
        ),
        response: { 200: "ListUsageOutput", ...errorResponses(401, 403, 422, 500) },
      },
    )
    .get(
      "/sessions/:id/usage",
      async ({ user, params }) => {
        const found = await sessionUsage(orm, { userId: user.id, sessionId: params.id.toLowerCase() });
        const { usage, total, spent, reserved } = found;
        const most = limits.session;
        return {
          ...{ usage, total },
          budget: most === undefined ? null : toBudget({ scope: "session", most, spent, reserved }),
        };
      },
      {
        params: idParams,
        detail: detail(
          "handlers_usage_session",
          "Get the model usage of a session",
          "By model, with what is left of the session's budget.",
        ),
        response: { 200: "SessionUsageOutput", ...errorResponses(401, 404, 422, 500) },
      },
    )
    .get(
      "/budgets",
      async ({ user }) => {
        const own = await userBudgets(orm, user.id, limits);
        // What others have spent is not everybody's to know.
        if (!user.roles.includes("admin")) return { budgets: own };
        const most = limits.deployment_day;
        const all = await readBudgets(orm, [{ scope: "deployment_day", subject: "", most }]);
        return { budgets: [...own, ...all] };
      },
      {
        detail: detail(
          "handlers_usage_budgets",
          "List budgets",
          "Those of the user that have a limit, and for the role admin that of the deployment. Of a run's and a session's budget, the prompt and the session tell.",
        ),
        response: { 200: "ListBudgetsOutput", ...errorResponses(401, 500) },
      },
    );
}

/** @throws AppError `invalid` */
function daysOf(
  query: { from?: string | undefined; to?: string | undefined },
  now: Date,
): { from: string; to: string } {
  const to = query.to ?? now.toISOString().slice(0, 10);
  const from =
    query.from ?? new Date(Date.parse(to) - (DEFAULT_DAYS - 1) * DAY_MS).toISOString().slice(0, 10);
  const days = (Date.parse(to) - Date.parse(from)) / DAY_MS + 1;
  if (days < 1) throw new AppError("invalid", "from: must not be after `to`.");
  if (days > MOST_DAYS)
    throw new AppError("invalid", `from: must be at most ${MOST_DAYS} days before \`to\`.`);
  return { from, to };
}

const csvReply = (text: string) =>
  new Response(text, {
    headers: {
      "content-type": `${CSV}; charset=utf-8`,
      "content-disposition": 'attachment; filename="usage.csv"',
      "cache-control": "no-store",
    },
  });
