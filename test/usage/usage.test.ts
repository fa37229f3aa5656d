import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { modelUsage, spend } from "../../src/db/spend-tables.ts";
import { session } from "../../src/db/tables.ts";
import { csvHead, csvOf } from "../../src/usage/csv.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession } from "../harness/seed.ts";

const NANO = 1_000_000_000;
const ZERO = {
  ...{ runs: 0, turns: 0, calls: 0, estimated_calls: 0, input_tokens: 0, output_tokens: 0 },
  ...{ cache_read_tokens: 0, cache_write_tokens: 0, cost_usd: 0 },
};
const isoDay = (daysAgo: number) => new Date(Date.now() - daysAgo * 86_400_000).toISOString().slice(0, 10);

type Row = typeof modelUsage.$inferInsert;

describeEachDatabase("what model calls have used", (database) => {
  /** A call of a prompt of its own. */
  const used = (more: Partial<Row>): Row => ({
    ...{ day: "2026-11-10", userId: "nobody", sessionId: Bun.randomUUIDv7(), promptId: Bun.randomUUIDv7() },
    ...{ repo: "owner/name", agent: "claude", model: "claude-sonnet-4-5", calls: 1, turns: 1 },
    ...{ inputTokens: 10, outputTokens: 5, cost: NANO / 4, ...more },
  });
  const insert = (...rows: Partial<Row>[]) => database().orm.insert(modelUsage).values(rows.map(used));
  const get = (user: string, path: string, headers?: Record<string, string>) =>
    ask(makeApp({ database: database() }), user, "GET", path, undefined, headers);
  const keysOf = async (user: string, path: string) => {
    const { status, body } = await get(user, path);
    expect([path, status]).toEqual([path, 200]);
    return body.usage.map(({ key, cost_usd }: { key: string; cost_usd: number }) => [key, cost_usd]);
  };
  /** A user of whom nothing is known yet. */
  const someone = () => `user-${crypto.randomUUID()}`;
  const NOVEMBER = "from=2026-11-01&to=2026-11-30";

  test("is grouped in each way, with the sum of all of it; titles are of no run and no agent", async () => {
    const userId = someone();
    const [one, two] = [Bun.randomUUIDv7(), Bun.randomUUIDv7()].sort() as [string, string];
    const promptId = Bun.randomUUIDv7();
    await insert(
      { userId, sessionId: one, promptId, cacheReadTokens: 100, cacheWriteTokens: 20, cacheWrite1hTokens: 3 },
      // The same run, on the next day and with another model.
      { userId, sessionId: one, promptId, day: "2026-11-11" },
      { userId, sessionId: one, promptId, model: "claude-haiku-4-5", calls: 3, estimatedCalls: 1, turns: 2 },
      { userId, sessionId: two, repo: "owner/other", agent: "codex", model: "gpt-5" },
      {
        userId,
        sessionId: two,
        promptId: two,
        repo: "owner/other",
        agent: "(titles)",
        model: "claude-haiku-4-5",
        cost: 1,
      },
    );
    const { body } = await get(userId, `/usage?${NOVEMBER}`);
    expect(body.total).toEqual({
      ...{ runs: 2, turns: 6, calls: 7, estimated_calls: 1, input_tokens: 173, output_tokens: 25 },
      ...{ cache_read_tokens: 100, cache_write_tokens: 23, cost_usd: 1.000000001 },
    });
    expect(body.next_cursor).toBeNull();
    expect(body.usage.map((row: { key: string; runs: number }) => [row.key, row.runs])).toEqual([
      ["2026-11-10", 2],
      ["2026-11-11", 1],
    ]);
    const by = (group: string) => keysOf(userId, `/usage?${NOVEMBER}&group_by=${group}`);
    expect(await by("user")).toEqual([[userId, 1.000000001]]);
    expect(await by("repo")).toEqual([
      ["owner/name", 0.75],
      ["owner/other", 0.250000001],
    ]);
    expect(await by("model")).toEqual([
      ["claude-haiku-4-5", 0.250000001],
      ["claude-sonnet-4-5", 0.5],
      ["gpt-5", 0.25],
    ]);
    expect(await by("agent")).toEqual([
      ["(titles)", 0.000000001],
      ["claude", 0.75],
      ["codex", 0.25],
    ]);
    expect(await by("session")).toEqual([
      [one, 0.75],
      [two, 0.250000001],
    ]);
    expect((await get(userId, "/usage?group_by=team")).status).toBe(422);
  });

  test("of others is the admins' alone, and only when they ask for all", async () => {
    const [one, other] = [someone(), someone()];
    await insert({ userId: one, day: "2025-03-01" }, { userId: other, day: "2025-03-01" });
    const march = "/usage?from=2025-03-01&to=2025-03-31&group_by=user";
    expect(await keysOf(one, march)).toEqual([[one, 0.25]]);
    expect(await keysOf(one, `${march}&scope=own`)).toEqual([[one, 0.25]]);
    for (const headers of [{}, { accept: "text/csv" }])
      expect((await get(one, `${march}&scope=all`, headers)).body).toMatchObject({ code: "admin_required" });
    expect(await keysOf("admin", march)).toEqual([]);
    expect(await keysOf("admin", `${march}&scope=all`)).toEqual([one, other].sort().map((id) => [id, 0.25]));
    expect((await get("admin", `${march}&scope=all`)).body.total).toMatchObject({ runs: 2, cost_usd: 0.5 });
  });

  test("of days: both ends are included, by default the last thirty, in UTC", async () => {
    const userId = someone();
    const days = [isoDay(0), isoDay(29), isoDay(30)];
    await insert(...days.map((day) => ({ userId, day })));
    const listed = async (query: string) =>
      (await keysOf(userId, `/usage${query}`)).map(([key]: [string]) => key);
    expect(await listed("")).toEqual([days[1], days[0]]);
    expect(await listed(`?from=${days[2]}`)).toEqual([days[2], days[1], days[0]]);
    expect(await listed(`?from=${days[2]}&to=${days[2]}`)).toEqual([days[2]]);
    expect(await listed(`?to=${days[1]}`)).toEqual([days[2], days[1]]);
  });

  test.each([
    ["from=2026-11-02&to=2026-11-01", "from: must not be after `to`"],
    ["from=2999-01-01", "from: must not be after `to`"],
    ["from=2025-11-29&to=2026-11-30", "from: must be at most 366 days before `to`"],
    // JavaScript finds it in March, and PostgreSQL nowhere.
    ["from=2026-02-30&to=2026-03-01", "from: 2026-02-30 is not in the calendar"],
    ["to=2026-11-31", "to: 2026-11-31 is not in the calendar"],
    ["to=2026-13-01", "to: "],
    ["to=0000-01-01", "to: "],
    ["to=2026-1-5", "to: "],
    ["to=yesterday", "to: "],
    ["to=2026-11-30T00:00:00Z", "to: "],
    ["limit=0", "limit: "],
    ["limit=501", "limit: "],
    ["cursor=", "cursor: "],
    ["cursor=YQ", "cursor: "],
    // A zero byte.
    ["cursor=PgA", "cursor: "],
  ])("%s is refused", async (query, message) => {
    const { status, body } = await get("alice", `/usage?${query}`);
    expect(status).toBe(422);
    expect(body.msg).toStartWith(message);
  });

  test("366 days are not too many, nor the first that a year has of four digits", async () => {
    expect((await get("alice", "/usage?from=2025-11-30&to=2026-11-30")).status).toBe(200);
    expect((await get("alice", "/usage?to=1000-01-01")).body).toEqual({
      ...{ usage: [], total: ZERO, next_cursor: null },
    });
    expect((await get("alice", "/usage?to=9999-12-31")).status).toBe(200);
  });

  test("comes page by page, each key once, also one that is empty", async () => {
    const userId = someone();
    const models = ["", "a", "Ab", "b%", "b_", "ü", "z\ny"];
    await insert(...models.map((model) => ({ userId, model })));
    const seen: string[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const from = cursor === "" ? "" : `&cursor=${cursor}`;
      const { body } = await get(userId, `/usage?${NOVEMBER}&group_by=model&limit=1${from}`);
      expect(body.total.calls).toBe(models.length);
      seen.push(...body.usage.map(({ key }: { key: string }) => key));
      cursor = body.next_cursor;
      expect(seen.length).toBeLessThanOrEqual(models.length);
    }
    expect(seen).toEqual(models.toSorted());
  });

  test("says when it is what the client has already", async () => {
    const userId = someone();
    await insert({ userId });
    for (const path of [`/usage?${NOVEMBER}`, "/budgets"]) {
      const etag = (await get(userId, path)).headers.get("etag") ?? "";
      expect((await get(userId, path, { "if-none-match": etag })).status).toBe(304);
    }
    const etag = (await get(userId, `/usage?${NOVEMBER}`)).headers.get("etag") ?? "";
    await insert({ userId });
    expect((await get(userId, `/usage?${NOVEMBER}`, { "if-none-match": etag })).status).toBe(200);
  });

  test("is a table for spreadsheets that runs no formula, whatever an agent called its model", async () => {
    const userId = someone();
    const models = ['=HYPERLINK("http://x")', "@SUM(1,2)", "+1", "-1", "\tx", "＝1", "plain"];
    await insert(...models.map((model) => ({ userId, model })));
    const reply = await makeApp({ database: database() }).handle(
      new Request(`http://localhost/usage?${NOVEMBER}&group_by=model&limit=1`, {
        headers: { authorization: `Bearer ${userId}`, accept: "text/csv" },
      }),
    );
    expect(reply.headers.get("content-type")).toBe("text/csv; charset=utf-8");
    expect(reply.headers.get("vary")).toBe("Origin, Accept-Encoding, Accept");
    const [head, ...lines] = (await reply.text()).split("\r\n");
    expect(head).toBe(
      "model,runs,turns,calls,estimated_calls,input_tokens,output_tokens,cache_read_tokens,cache_write_tokens,cost_usd",
    );
    // All of them, whatever the limit of a page is, and an end of the last line.
    expect(lines.toSorted()).toEqual(
      [
        "",
        ...[`"'=HYPERLINK(""http://x"")"`, `"'@SUM(1,2)"`, "'+1", "'-1", "'\tx", "'＝1", "plain"].map(
          (key) => `${key},1,1,1,0,10,5,0,0,0.25`,
        ),
      ].toSorted(),
    );
  });

  test("of many sessions is a table of all of them, each once", async () => {
    const userId = someone();
    const sessions = Array.from({ length: 5_001 }, () => Bun.randomUUIDv7());
    for (let at = 0; at < sessions.length; at += 1_000)
      await insert(...sessions.slice(at, at + 1_000).map((sessionId) => ({ userId, sessionId })));
    const reply = await makeApp({ database: database() }).handle(
      new Request(`http://localhost/usage?${NOVEMBER}&group_by=session`, {
        headers: { authorization: `Bearer ${userId}`, accept: "text/csv" },
      }),
    );
    const keys = (await reply.text()).trimEnd().split("\r\n").slice(1);
    expect(keys.map((line) => line.slice(0, 36))).toEqual(sessions.toSorted());
  });

  test("of a session is its owner's, by model, with what is left of its budget; deleted, it counts on", async () => {
    const { sessionId, promptIds } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    const limited = makeApp({ database: database(), env: { BUDGET_USD_PER_SESSION: "2" } });
    const path = `/sessions/${sessionId}/usage`;
    const none = { usage: [], total: ZERO };
    const budget = { scope: "session", limit_usd: 2, resets_at: null };
    expect((await get("alice", path)).body).toEqual({ ...none, budget: null });
    expect((await ask(limited, "alice", "GET", path)).body).toEqual({
      ...none,
      budget: { ...budget, spent_usd: 0, reserved_usd: 0, left_usd: 2 },
    });
    await insert({ userId: "alice", sessionId, promptId, day: "2024-02-29" });
    await database()
      .orm.insert(spend)
      .values({
        ...{ scope: "session", subject: sessionId, period: "1970-01-01" },
        ...{ spent: NANO / 4, reserved: NANO, calls: 2 },
      });
    const { body } = await ask(
      limited,
      "alice",
      "GET",
      path.toUpperCase().replace("SESSIONS", "sessions").replace("USAGE", "usage"),
    );
    expect(body.usage).toEqual([{ ...body.total, key: "claude-sonnet-4-5" }]);
    expect(body.budget).toEqual({ ...budget, spent_usd: 0.25, reserved_usd: 1, left_usd: 0.75 });
    for (const user of ["bob", "admin"])
      expect((await ask(limited, user, "GET", path)).body.code).toBe("session_not_found");
    const { orm } = database();
    await orm.update(session).set({ deletedAt: sql`now()` }).where(eq(session.id, sessionId));
    expect((await get("alice", path)).body.code).toBe("session_not_found");
    const day = "/usage?from=2024-02-29&to=2024-02-29&group_by=session";
    expect(await keysOf("alice", day)).toEqual([[sessionId, 0.25]]);
  });

  test("budgets are the user's, of this day and month alone; the deployment's is for admins", async () => {
    const userId = someone();
    const env = {
      BUDGET_USD_PER_USER_DAY: "1",
      BUDGET_USD_PER_USER_MONTH: "20",
      BUDGET_USD_PER_DEPLOYMENT_DAY: "100",
    };
    const app = makeApp({ database: database(), env });
    const today = isoDay(0);
    const month = `${today.slice(0, 7)}-01`;
    const row = (scope: string, subject: string, period: string, spent: number, reserved = 0) => ({
      ...{ scope, subject, period, spent: spent * NANO, reserved: reserved * NANO },
    });
    await database()
      .orm.insert(spend)
      .values([
        row("user_day", userId, today, 0.75, 0.5),
        row("user_day", userId, isoDay(1), 9),
        row("user_day", "another", today, 9),
        row("user_month", userId, month, 5),
        row("user_month", userId, "2026-01-01", 9),
        row("deployment_day", "", today, 10),
        // A user who is called like nobody.
        row("deployment_day", userId, today, 50),
      ]);
    const midnight = (days: number) => `${isoDay(-days)}T00:00:00.000Z`;
    const now = new Date();
    const nextMonth = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)).toISOString();
    const own = [
      {
        ...{ scope: "user_day", limit_usd: 1, spent_usd: 0.75, reserved_usd: 0.5 },
        // More can be reserved than is left, when a limit was lowered.
        ...{ left_usd: 0, resets_at: midnight(1) },
      },
      {
        ...{ scope: "user_month", limit_usd: 20, spent_usd: 5, reserved_usd: 0 },
        ...{ left_usd: 15, resets_at: nextMonth },
      },
    ];
    expect((await ask(app, userId, "GET", "/budgets")).body).toEqual({ budgets: own });
    const { body } = await ask(app, "admin", "GET", "/budgets");
    expect(
      body.budgets.map((one: { scope: string; spent_usd: number }) => [one.scope, one.spent_usd]),
    ).toEqual([
      ["user_day", 0],
      ["user_month", 0],
      ["deployment_day", 10],
    ]);
    expect((await get("admin", "/budgets")).body).toEqual({ budgets: [] });
    expect((await ask(app, userId, "GET", "/me")).body.limits).toMatchObject({
      ...{ budget_left_usd: 0, budget_resets_at: midnight(1) },
    });
    expect((await get(userId, "/me")).body.limits).toMatchObject({
      ...{ budget_left_usd: null, budget_resets_at: null },
    });
  });
});

test("no figure of a table has an exponent, or more digits than money has", () => {
  const row = { ...ZERO, key: 'a"b', input_tokens: 123_456_789_012_345, cost_usd: 1e-9 };
  expect(csvOf([row])).toBe('"a""b",0,0,0,0,123456789012345,0,0,0,0.000000001\r\n');
  expect(csvHead("repo")).toStartWith("repo,runs,");
});
