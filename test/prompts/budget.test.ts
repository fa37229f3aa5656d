import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { spend } from "../../src/db/spend-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { promptRow, seedSession, sessionRow } from "../harness/seed.ts";

const NANO = 1_000_000_000;
const TARGET = { target_branch: "main", messages: "Fix it" };

describeEachDatabase("the budget of a prompt", (database) => {
  const limited = (usd: string) => makeApp({ database: database(), env: { BUDGET_USD_PER_RUN: usd } });
  const unlimited = () => makeApp({ database: database() });
  type App = ReturnType<typeof makeApp>;
  const start = (app: App, budget?: unknown, repo = "owner/name") =>
    ask(app, "alice", "POST", "/sessions/with-prompt", {
      ...{ ...TARGET, repo },
      ...(budget !== undefined && { budget_usd: budget }),
    });
  const follow = (app: App, sessionId: string, budget: unknown) =>
    ask(app, "alice", "POST", "/prompts", { session_id: sessionId, data: "go on", budget_usd: budget });
  const read = async (id: string) => (await ask(unlimited(), "alice", "GET", `/prompts/${id}`)).body.prompt;

  test("is kept to the billionth, and read as it was sent", async () => {
    const app = unlimited();
    for (const usd of [0.000000001, 0.1, 2.5, 1_000_000]) {
      const { body } = await start(app, usd);
      expect((await read(body.promptId)).budget_usd).toBe(usd);
      const { body: followed } = await follow(app, body.sessionId, usd);
      expect((await read(followed.id)).budget_usd).toBe(usd);
    }
    const { body } = await start(app, 0.1234567894);
    expect((await read(body.promptId)).budget_usd).toBe(0.123456789);
    // Each prompt has its own: the next one has none.
    const { body: next } = await ask(app, "alice", "POST", "/prompts", {
      ...{ session_id: body.sessionId, data: "go on" },
    });
    expect((await read(next.id)).budget_usd).toBeNull();
  });

  test.each([
    ["0", 0],
    ["-1", -1],
    ["a tenth of a billionth", 1e-10],
    ["1e308", 1e308],
    ["a little over a million", 1_000_000.01],
    ["text", "5"],
    ["null", null],
    ["true", true],
    ["a list", [5]],
    // JSON has neither; a client in JavaScript sends null for them.
    ["NaN", Number.NaN],
    ["infinity", Number.POSITIVE_INFINITY],
  ])("%s is none", async (_, usd) => {
    const app = unlimited();
    const { sessionId, promptIds } = await seedSession(database(), 1);
    const replies = [
      await start(app, usd),
      await follow(app, sessionId, usd),
      await ask(app, "alice", "POST", `/prompts/${promptIds[0]}/resume`, { budget_usd: usd }),
    ];
    for (const { status, body } of replies) {
      expect([status, body.code]).toEqual([422, "invalid"]);
      expect(body.msg).toStartWith("budget_usd: ");
    }
  });

  test("1e400, which JSON can say and no double can, is none", async () => {
    const reply = await unlimited().handle(
      new Request("http://localhost/sessions/with-prompt", {
        method: "POST",
        headers: { authorization: "Bearer alice", "content-type": "application/json" },
        body: `{"repo":"owner/name","target_branch":"main","messages":"go","budget_usd":1e400}`,
      }),
    );
    expect(reply.status).toBe(422);
  });

  test("is at most what the deployment allows, which the refusal names; nothing is created", async () => {
    const app = limited("0.005");
    const { sessionId } = await seedSession(database(), 1);
    const before = await database().orm.$count(prompt);
    for (const reply of [await start(app, 0.00501), await follow(app, sessionId, 1)]) {
      expect([reply.status, reply.body.code]).toEqual([422, "budget_too_high"]);
      expect(reply.body.msg).toBe(
        "budget_usd: a prompt may cost at most $0.005 here (BUDGET_USD_PER_RUN); send it with that or less.",
      );
    }
    expect(await database().orm.$count(prompt)).toBe(before);
    expect((await sessionRow(database(), sessionId))?.promptSeq).toBe(1);
    expect((await start(app, 0.005)).status).toBe(200);
    // Then all may cost is what there is.
    expect((await start(limited("0"), 0.000000001)).body.code).toBe("budget_too_high");
    expect((await start(limited("0"))).status).toBe(200);
  });

  test("is at most what its repository's project allows, in each spelling of the repository", async () => {
    const app = unlimited();
    const repo = `owner/${crypto.randomUUID()}`;
    const url = `https://github.com/${repo}.git`;
    const { sessionId } = (await start(app, undefined, url)).body;
    // There is no project yet.
    expect((await follow(app, sessionId, 3)).status).toBe(200);
    const created = await ask(app, "alice", "POST", "/projects", { repo, budget_usd: 2 });
    expect(created.status).toBe(200);
    for (const reply of [
      await start(app, 2.01, repo),
      await start(app, 2.01, url),
      await follow(app, sessionId, 2.01),
    ]) {
      expect([reply.status, reply.body.code]).toEqual([422, "budget_too_high"]);
      expect(reply.body.msg).toContain("at most $2.00 by its repository's project");
    }
    expect((await start(app, 2, url)).status).toBe(200);
    expect((await follow(app, sessionId, 2)).status).toBe(200);
    // Another user's project is no limit.
    const other = { ...TARGET, repo, budget_usd: 3 };
    expect((await ask(app, "bob", "POST", "/sessions/with-prompt", other)).status).toBe(200);
  });

  test("is of a prompt: a session without any takes none, and a change of a prompt neither", async () => {
    const app = unlimited();
    const bare = { repo: "owner/name", target_branch: "main", budget_usd: 2 };
    const { status, body } = await ask(app, "alice", "POST", "/sessions", bare);
    expect([status, body.code]).toEqual([422, "invalid"]);
    expect(body.msg).toStartWith("budget_usd: is of one prompt");
    const { promptIds } = await seedSession(database(), 1);
    const path = `/prompts/${promptIds[0]}`;
    const changed = await ask(app, "alice", "PUT", path, { data: "go", budget_usd: 2 });
    expect(changed.body.code).toBe("unknown_field");
  });

  /** A prompt that waits for its budget, of which so much is spent. */
  async function waiting(spent: number) {
    const { sessionId, promptIds } = await seedSession(database(), 1);
    const [id = ""] = promptIds;
    const { orm } = database();
    const at = new Date(0).toISOString();
    await orm
      .update(session)
      .set({ waiting: { for: "budget", reason: "Used up.", since: at, until: null } })
      .where(eq(session.id, sessionId));
    await orm
      .update(prompt)
      .set({
        waitingFor: "budget",
        suspended: true,
        notBefore: new Date(Date.UTC(2100, 0)),
        error: "Used up.",
      })
      .where(eq(prompt.id, id));
    await orm.insert(spend).values({
      ...{ scope: "run", subject: id, period: "1970-01-01", spent: spent * NANO, calls: 1 },
    });
    return { sessionId, id };
  }
  const resume = (id: string, usd: number, user = "alice") =>
    ask(unlimited(), user, "POST", `/prompts/${id}/resume`, { budget_usd: usd });

  test("is raised while it is waited for, above what was spent, and once", async () => {
    const { id } = await waiting(2);
    for (const usd of [1, 2, 1.9999999999]) {
      const { status, body } = await resume(id, usd);
      expect([status, body.code]).toEqual([422, "budget_too_low"]);
      expect(body.msg).toContain("more than the $2.00");
    }
    // Nobody knows when: it is for its user to raise it.
    expect(await read(id)).toMatchObject({
      ...{ waiting_for: "budget", waiting_reason: "Used up.", next_attempt_at: null },
      waiting_since: new Date(0).toISOString(),
    });
    expect((await resume(id, 3)).status).toBe(200);
    expect(await read(id)).toMatchObject({
      waiting_for: null,
      budget_usd: 3,
      status: "Queued",
      next_attempt_at: null,
    });
    const again = await resume(id, 4);
    expect([again.status, again.body.code]).toEqual([409, "budget_not_awaited"]);
    expect((await promptRow(database(), id)).budget).toBe(3 * NANO);
  });

  test("that begins anew says when the prompt goes on", async () => {
    const { id } = await waiting(1);
    const midnight = new Date(Date.now() + 3_600_000);
    await database().orm.update(prompt).set({ notBefore: midnight, version: 9 }).where(eq(prompt.id, id));
    expect((await read(id)).next_attempt_at).toBe(midnight.toISOString());
  });

  test("is its owner's to raise, and may then be more than a new prompt's", async () => {
    const { id } = await waiting(0);
    for (const user of ["bob", "admin"])
      expect((await resume(id, 5, user)).body.code).toBe("prompt_not_found");
    const reply = await ask(limited("1"), "alice", "POST", `/prompts/${id}/resume`, { budget_usd: 5 });
    expect(reply.status).toBe(200);
    expect((await resume(Bun.randomUUIDv7(), 5)).body.code).toBe("prompt_not_found");
  });

  test("two who raise it at the same time resume it once", async () => {
    const { id } = await waiting(1);
    const replies = await Promise.all([resume(id, 2), resume(id, 3)]);
    expect(replies.map(({ status }) => status).toSorted()).toEqual([200, 409]);
    const raised = replies[0]?.status === 200 ? 2 : 3;
    expect((await promptRow(database(), id)).budget).toBe(raised * NANO);
  });
});
