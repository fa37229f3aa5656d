import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { INBOX_STATUSES, SESSION_STATUSES } from "../../src/db/columns.ts";
import { message, prompt, session } from "../../src/db/tables.ts";
import { uiStatusOf } from "../../src/lifecycle/ui-status.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { claimRun } from "../harness/seed.ts";

const SANDBOX = { provider: "local", id: "x", host: "y" } as const;

describeEachDatabase("lists", (database) => {
  const get = (path: string, user: string, headers?: Record<string, string>) =>
    ask(makeApp({ database: database() }), user, "GET", path, undefined, headers);
  const post = async (user: string, path: string, body: unknown) =>
    (await ask(makeApp({ database: database() }), user, "POST", path, body)).body;
  const insert = async (user: string, values: Partial<typeof session.$inferInsert>) => {
    const id = Bun.randomUUIDv7();
    await database()
      .orm.insert(session)
      .values({
        id,
        userId: user,
        repo: "owner/name",
        targetBranch: "main",
        branch: id,
        title: "A title",
        ...values,
      });
    return id;
  };
  const ids = async (path: string, user: string) =>
    (await get(path, user)).body.sessions.map(({ id }: { id: string }) => id);

  test("pages in both orders contain each session once, also those created at the same time", async () => {
    const made: string[] = [];
    for (let one = 0; one < 7; one++)
      made.push(
        await insert("pages", { createdAt: new Date(Date.UTC(2026, 0, 1, 0, 0, Math.floor(one / 3))) }),
      );
    for (const [order, expected] of [
      ["oldest", made],
      ["newest", made.toReversed()],
    ] as const) {
      expect(await ids(`/sessions?order=${order}`, "pages")).toEqual(expected);
      const seen: string[] = [];
      let cursor: string | null = "";
      while (cursor !== null) {
        const path: string = `/sessions?order=${order}&limit=2${cursor && `&cursor=${cursor}`}`;
        const { body } = await get(path, "pages");
        seen.push(...body.sessions.map(({ id }: { id: string }) => id));
        cursor = body.next_cursor;
      }
      expect(seen).toEqual(expected);
    }
    expect((await get("/sessions", "pages")).body).not.toHaveProperty("next_cursor");
  });

  test("a status filter finds every combination of states under the status that is shown", async () => {
    const user = "states";
    const expected = new Map<string, string[]>();
    for (const sessionStatus of SESSION_STATUSES)
      for (const inboxStatus of INBOX_STATUSES)
        for (const sbxConfig of [null, SANDBOX]) {
          const id = await insert(user, { sessionStatus, inboxStatus, sbxConfig });
          const status = uiStatusOf({ sessionStatus, inboxStatus, sbxConfig });
          expected.set(status, [...(expected.get(status) ?? []), id]);
        }
    for (const [status, all] of expected)
      expect((await ids(`/sessions?status=${status}`, user)).sort()).toEqual(all.sort());
    const some = [...(expected.get("Pending") ?? []), ...(expected.get("Archived") ?? [])].sort();
    expect((await ids("/sessions?status=Pending,Archived", user)).sort()).toEqual(some);
    expect((await ids("/sessions?status=Pending&status=Archived", user)).sort()).toEqual(some);
    expect((await get("/sessions?status=Odd", user)).status).toBe(422);
  });

  test("filters by repository and title, in which wildcards are literal", async () => {
    const user = "search";
    const percent = await insert(user, { title: "Raise it by 100% now" });
    const under = await insert(user, { title: "snake_case in Ünïcode", repo: "owner/other" });
    const back = await insert(user, { title: "a\\b" });
    for (const [query, found] of [
      ["q=100%25", [percent]],
      ["q=RAISE", [percent]],
      ["q=_", [under]],
      ["q=%25", [percent]],
      ["q=%5C", [back]],
      ["q=snakeXcase", []],
      ["q=", [back, under, percent]],
      ["repo=owner/other", [under]],
      ["repo=owner/other&q=raise", []],
    ] as const)
      expect([query, await ids(`/sessions?${query}`, user)]).toEqual([query, [...found]]);
  });

  test("invalid limits and cursors are refused", async () => {
    for (const query of [
      "limit=0",
      "limit=501",
      "limit=1.5",
      "limit=x",
      "cursor=nonsense",
      "cursor=",
      "order=odd",
    ])
      expect([query, (await get(`/sessions?${query}`, "alice")).status]).toEqual([query, 422]);
  });

  test("prompts and messages are paged", async () => {
    const user = "numbered";
    const { sessionId, promptId } = await post(user, "/sessions/with-prompt", {
      repo: "owner/name",
      target_branch: "main",
      messages: "1",
    });
    for (const data of ["2", "3"]) await post(user, "/prompts", { session_id: sessionId, data });
    for (const data of ["a", "b", "c"]) await post(user, "/messages", { prompt_id: promptId, data });
    for (const [path, name] of [
      [`/sessions/${sessionId}/prompts`, "prompts"],
      [`/prompts/${promptId}/messages`, "messages"],
    ] as const) {
      expect((await get(path, user)).body).not.toHaveProperty("next_cursor");
      const first = (await get(`${path}?limit=2`, user)).body;
      expect(first[name].map(({ seq }: { seq: number }) => seq)).toEqual([1, 2]);
      const last = (await get(`${path}?limit=2&cursor=${first.next_cursor}`, user)).body;
      expect(last[name].map(({ seq }: { seq: number }) => seq)).toEqual([3]);
      expect(last.next_cursor).toBeNull();
      const rest = (await get(`${path}?cursor=${first.next_cursor}`, user)).body;
      expect(rest[name]).toHaveLength(1);
      const none = (await get(`${path}?limit=2&cursor=${Buffer.from("99").toString("base64url")}`, user))
        .body;
      expect(none[name]).toEqual([]);
      expect((await get(`${path}?cursor=odd`, user)).status).toBe(422);
    }
  });

  test("ETags: 304 while nothing changes, and a new one after every change", async () => {
    const user = "tags";
    const { sessionId, promptId } = await post(user, "/sessions/with-prompt", {
      repo: "owner/name",
      target_branch: "main",
      messages: "1",
    });
    const paths = {
      session: `/sessions/${sessionId}`,
      sessions: "/sessions",
      prompts: `/sessions/${sessionId}/prompts`,
      messages: `/prompts/${promptId}/messages`,
    };
    const tags = async () =>
      Object.fromEntries(
        await Promise.all(
          Object.entries(paths).map(async ([name, path]) => {
            const { status, headers } = await get(path, user);
            expect(status).toBe(200);
            expect(headers.get("cache-control")).toBe("private, no-cache");
            const tag = String(headers.get("etag"));
            expect(tag).toMatch(/^W\/"[\w.-]{22,60}"$/);
            for (const none of [tag, tag.slice(2), `"x", ${tag}`, "*"]) {
              const unchanged = await get(path, user, { "if-none-match": none });
              expect([name, none, unchanged.status, unchanged.body]).toEqual([name, none, 304, undefined]);
              expect(unchanged.headers.get("etag")).toBe(tag);
              expect(unchanged.headers.get("cache-control")).toBe("private, no-cache");
            }
            const changed = await get(path, user, { "if-none-match": '"x", W/"y"' });
            expect(changed.status).toBe(200);
            return [name, tag];
          }),
        ),
      );
    let other = "";
    const changes: [string, string[], () => Promise<unknown>][] = [
      ["nothing", [], async () => {}],
      [
        "a message",
        ["messages", "session", "sessions"],
        () => post(user, "/messages", { prompt_id: promptId, data: 1 }),
      ],
      [
        "another session",
        ["sessions"],
        async () => {
          other = await insert(user, {});
        },
      ],
      [
        "a change of a message",
        ["messages"],
        () => database().orm.update(message).set({ data: 2 }).where(eq(message.promptId, promptId)),
      ],
      ["a claim", ["session", "sessions", "prompts"], () => claimRun(database().orm, promptId)],
      [
        "a heartbeat",
        [],
        () =>
          database()
            .orm.update(prompt)
            .set({ leaseExpiresAt: new Date(Date.UTC(2100, 0)) })
            .where(eq(prompt.id, promptId)),
      ],
      [
        "a session for another one",
        ["sessions"],
        async () => {
          await database().orm.update(session).set({ deletedAt: new Date() }).where(eq(session.id, other));
          await insert(user, {});
        },
      ],
      [
        "a title",
        ["session", "sessions"],
        () => database().orm.update(session).set({ title: "B" }).where(eq(session.id, sessionId)),
      ],
    ];
    let before = await tags();
    for (const [what, expected, change] of changes) {
      await change();
      const after = await tags();
      const changed = Object.keys(paths).filter((name) => after[name] !== before[name]);
      expect([what, changed.sort()]).toEqual([what, expected.sort()]);
      before = after;
    }
    const whole = before["sessions"] ?? "";
    expect((await get("/sessions?limit=1", user, { "if-none-match": whole })).status).toBe(200);
    expect((await get("/sessions", "nobody", { "if-none-match": whole })).status).toBe(200);
    for (const path of [paths.session, paths.prompts, paths.messages])
      expect((await get(path, "bob", { "if-none-match": "*" })).status).toBe(404);
  });
});
