import { Elysia } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import { pagesReply } from "../api/pages-reply.ts";
import { MAX_PAGE, nextCursor } from "../api/paging.ts";
import {
  errorResponses,
  idParams,
  NotModified,
  parseLimit,
  readErrors,
  securedOperation,
  sharedModels,
} from "../api/schemas.ts";
import type { User } from "../auth/claims.ts";
import type { Guard } from "../auth/guard.ts";
import { requireAdmin } from "../auth/require-admin.ts";
import type { Orm } from "../db/client.ts";
import { AppError } from "../shared/errors.ts";
import { isDay } from "../shared/time.ts";
import type { SpendRules } from "../spend/meter.ts";
import { csvHead, csvOf } from "./csv.ts";
import { usageModels, usageQuery } from "./model.ts";
import {
  exportUsage,
  listUsage,
  readBudgets,
  sessionUsage,
  toBudget,
  totalUsage,
  type UsageQuery,
  userBudgets,
} from "./store.ts";

const DAY_MS = 86_400_000;
const DEFAULT_DAYS = 30;
const MOST_DAYS = 366;
const CSV = "text/csv";

/** What model calls have used and what they may still cost. */
export function usageRoutes(options: { orm: Orm; guard: Guard; limits: SpendRules["limits"] }) {
  const { orm, guard, limits } = options;
  const detail = securedOperation("Usage");

  async function budgetsOf({ id, roles }: User) {
    const own = await userBudgets(orm, id, limits);
    // What others have spent is not everybody's to know.
    if (!roles.includes("admin")) return own;
    const most = limits.deployment_day;
    return [...own, ...(await readBudgets(orm, [{ scope: "deployment_day", subject: "", most }]))];
  }

  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...usageModels })
    .get(
      "/usage",
      async (context) => {
        const { user, query, request, set, status } = context;
        const { scope = "own", group_by: groupBy = "day", limit = MAX_PAGE, cursor } = query;
        if (scope === "all") requireAdmin(user);
        set.headers["vary"] = `${set.headers["vary"]}, Accept`;
        const days = daysOf(query, new Date());
        const wanted = { ...days, groupBy, userId: scope === "all" ? undefined : user.id };
        // Elysia sends a Response as it is; the schema describes the JSON.
        if (request.headers.get("accept")?.toLowerCase().includes(CSV)) return csvReply(orm, wanted) as never;
        const [page, total] = await Promise.all([
          listUsage(orm, { ...wanted, limit, cursor }),
          totalUsage(orm, wanted),
        ]);
        const reply = { usage: page.rows, total, ...nextCursor({ limit }, page) };
        return isUnchanged(context, weakEtag(reply)) ? status(304, undefined) : reply;
      },
      {
        query: usageQuery,
        transform: parseLimit,
        detail: detail(
          "handlers_usage_list",
          "List model usage",
          `Counted where the calls pass, not where agents say. By day (of UTC), repository, model, agent, session or, for the role admin with \`scope=all\`, user; at most ${MOST_DAYS} days. What was used stays counted when its session is deleted. \`total\` is of all pages. With \`Accept: ${CSV}\` all of it as one table; limit and cursor are then not used.`,
        ),
        response: { 200: "ListUsageOutput", 304: NotModified, ...errorResponses(401, 403, 422, 500) },
      },
    )
    .get(
      "/sessions/:id/usage",
      async (context) => {
        const { user, params, status } = context;
        const found = await sessionUsage(orm, { userId: user.id, sessionId: params.id.toLowerCase() });
        const { usage, total, spent, reserved } = found;
        const most = limits.session;
        const budget = most === undefined ? null : toBudget({ scope: "session", most, spent, reserved });
        const reply = { usage, total, budget };
        return isUnchanged(context, weakEtag(reply)) ? status(304, undefined) : reply;
      },
      {
        params: idParams,
        detail: detail(
          "handlers_usage_session",
          "Get the model usage of a session",
          "By model, with what is left of the session's budget.",
        ),
        response: { 200: "SessionUsageOutput", 304: NotModified, ...readErrors },
      },
    )
    .get(
      "/budgets",
      async (context) => {
        const { user, status } = context;
        const reply = { budgets: await budgetsOf(user) };
        return isUnchanged(context, weakEtag(reply)) ? status(304, undefined) : reply;
      },
      {
        detail: detail(
          "handlers_usage_budgets",
          "List budgets",
          "Those of the user that have a limit, and for the role admin that of the deployment. Of a run's and a session's budget, the prompt and the session tell.",
        ),
        response: { 200: "ListBudgetsOutput", 304: NotModified, ...errorResponses(401, 500) },
      },
    );
}

/** @throws AppError `invalid` */
function daysOf(
  query: { from?: string | undefined; to?: string | undefined },
  now: Date,
): { from: string; to: string } {
  const to = dayOf("to", query.to ?? now.toISOString().slice(0, 10));
  const before = new Date(Date.parse(to) - (DEFAULT_DAYS - 1) * DAY_MS);
  const from = dayOf("from", query.from ?? before.toISOString().slice(0, 10));
  const days = (Date.parse(to) - Date.parse(from)) / DAY_MS + 1;
  if (days < 1)
    throw new AppError("invalid", "from: must not be after `to`, which is today unless it is given.");
  if (days > MOST_DAYS)
    throw new AppError("invalid", `from: must be at most ${MOST_DAYS} days before \`to\`.`);
  return { from, to };
}

/** @throws AppError `invalid` */
function dayOf(name: string, day: string): string {
  if (isDay(day)) return day;
  throw new AppError("invalid", `${name}: ${day} is not in the calendar.`);
}

function csvReply(orm: Orm, query: UsageQuery): Response {
  const headers = {
    "content-type": `${CSV}; charset=utf-8`,
    "content-disposition": 'attachment; filename="usage.csv"',
  };
  return pagesReply(exportUsage(orm, query), { head: csvHead(query.groupBy), textOf: csvOf, headers });
}
