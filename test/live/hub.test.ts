import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession, writerOf } from "../harness/seed.ts";
import { until } from "../harness/until.ts";
import { agentEvents, bearer, claim, serveLive } from "./fixture.ts";
import { openReader } from "./reader.ts";

const ALICE = bearer("alice");

describeEachDatabase("the hub of live streams", (database) => {
  const running = async () => {
    const { sessionId, promptIds } = await seedSession(database(), 1);
    const run = await claim(database(), promptIds[0] ?? "");
    return { sessionId, append: (events: unknown[]) => writerOf(database().orm, run).append(events) };
  };

  test("limits the open streams of a user; a reader that leaves makes room", async () => {
    await using server = await serveLive(database(), { perUser: 2 });
    const { sessionId } = await running();
    const url = `${server.url}/sessions/${sessionId}/events`;
    const [first] = await Promise.all([1, 2].map(() => openReader(url, { headers: ALICE })));
    const refused = await fetch(url, { headers: ALICE });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "10"]);
    expect(((await refused.json()) as { msg: string }).msg).toContain("2 open streams");
    expect((await fetch(`${server.url}/events`, { headers: ALICE })).status).toBe(429);
    const other = await openReader(`${server.url}/events`, { headers: bearer("bob") });
    expect(other.status).toBe(200);
    first?.leave();
    await until(() => server.hub.open === 2, { what: "one to be gone" });
    const again = await openReader(url, { headers: ALICE });
    expect(again.status).toBe(200);
  });

  test("wakes every stream when it listens again after a lost connection", async () => {
    if (database().kind === "embedded") return;
    await using server = await serveLive(database(), { heartbeatMs: 3_600_000 });
    const { sessionId, append } = await running();
    const [one, all] = await Promise.all(
      [`/sessions/${sessionId}/events`, "/events"].map((path) =>
        openReader(`${server.url}${path}`, { headers: ALICE }),
      ),
    );
    await one?.next("session");
    await all?.next("ready");
    const { orm } = database();
    // While it is away nothing is told: the trigger is off.
    await orm.execute(sql`alter table session disable trigger session_changed`);
    await append(agentEvents(1, 2));
    await orm.execute(sql`alter table session enable trigger session_changed`);
    await orm.execute(
      sql`select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%' and datname = current_database()`,
    );
    for (const reader of [one, all]) {
      expect(JSON.parse((await reader?.next("message"))?.data ?? "{}").seq).toBe(1);
      expect(JSON.parse((await reader?.next("message"))?.data ?? "{}").seq).toBe(2);
    }
  });
});
