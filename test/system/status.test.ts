import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { writeHeartbeats } from "../../src/db/heartbeats.ts";
import { egressRequest } from "../../src/db/safety-tables.ts";
import { taskHeartbeat } from "../../src/db/service-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { DETACHED } from "../../src/lifecycle/end-run.ts";
import type { SystemStatus } from "../../src/system/model.ts";
import { listRefusedHosts, listRuns, MAX_PROCESSES, MAX_RUNS, readQueue } from "../../src/system/store.ts";
import { ask, makeApp, noMachine } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { scansOf, scansOfCall } from "../harness/plan.ts";
import { PROCESS, SANDBOX, seedRun, seedSession } from "../harness/seed.ts";

const ago = (seconds: number) => sql<Date>`now() - make_interval(secs => ${seconds})`;

describeEachDatabase("GET /system/status", (database) => {
  const read = async () =>
    (await ask(makeApp({ database: database() }), "admin", "GET", "/system/status")).body as SystemStatus;
  const clear = async () => {
    await database().orm.delete(taskHeartbeat);
    await database().orm.delete(session);
  };

  test("is for admins alone", async () => {
    const app = makeApp({ database: database() });
    const { status, body } = await ask(app, "alice", "GET", "/system/status");
    expect([status, body.code]).toEqual([403, "admin_required"]);
    expect((await ask(app, undefined, "GET", "/system/status")).status).toBe(401);
    expect((await ask(app, "admin", "GET", "/system/status")).status).toBe(200);
  });

  test("says of each check whether it is well, and agrees with /health/ready", async () => {
    const app = makeApp({
      database: database(),
      queueAlive: () => Promise.reject(new Error("secret address")),
      refusal: async () => undefined,
    });
    await writeHeartbeats(database().orm, { process: "p", host: "here", tasks: ["retention"] });
    const { body } = await ask(app, "admin", "GET", "/system/status");
    expect(body.checks).toEqual([
      { name: "database", ok: true, reason: null },
      { name: "tasks", ok: true, reason: null },
      { name: "queue", ok: false, reason: "the queue does not answer" },
      { name: "isolation", ok: true, reason: null },
    ]);
    expect([body.ready, (await ask(app, undefined, "GET", "/health/ready")).status]).toEqual([false, 503]);
    expect((await read()).ready).toBe(true);
    await clear();
  });

  test("joins processes with what they run, by the lease", async () => {
    const { orm } = database();
    const running = await seedRun(database(), { owner: "p" });
    const left = await seedRun(database(), { owner: "gone" });
    await orm
      .update(prompt)
      .set({ process: PROCESS, leaseOwner: DETACHED, leaseExpiresAt: ago(5) })
      .where(sql`id = ${left.promptId}`);
    await writeHeartbeats(orm, { process: "p", host: "here", tasks: ["retention", "prompt-runner"] });
    await orm
      .insert(taskHeartbeat)
      .values({ task: "retention", process: "dead", host: "there", beatenAt: ago(60) });
    const { processes, runs } = await read();
    expect(processes).toMatchObject([
      { process: "p", host: "here", tasks: ["prompt-runner", "retention"], alive: true },
      { process: "dead", host: "there", tasks: ["retention"], alive: false },
    ]);
    expect(runs).toMatchObject([
      { prompt_id: left.promptId, process: null, host: "here" },
      { prompt_id: running.promptId, process: "p", host: null, attempt: 1, started_at: expect.any(String) },
    ]);
    await clear();
  });

  test("counts what waits for its turn, what is tried again later, and what runs", async () => {
    const { orm } = database();
    await seedRun(database(), { owner: "p" });
    const { promptIds, sessionId } = await seedSession(database(), 4);
    const [old, due, later] = promptIds;
    await orm
      .update(prompt)
      .set({ createdAt: ago(100) })
      .where(sql`id = ${old}`);
    await orm
      .update(prompt)
      .set({ createdAt: ago(900), notBefore: ago(50) })
      .where(sql`id = ${due}`);
    await orm
      .update(prompt)
      .set({ createdAt: ago(900), notBefore: ago(-900) })
      .where(sql`id = ${later}`);
    await orm.update(session).set({ sbxConfig: SANDBOX }).where(sql`id = ${sessionId}`);
    const { queue, sandboxes_held } = await read();
    expect([queue, sandboxes_held]).toMatchObject([{ waiting: 3, delayed: 1, running: 1 }, 1]);
    expect(queue.oldest_waiting_seconds).toBeWithin(100, 150);
    await clear();
    expect((await read()).queue).toEqual({
      waiting: 0,
      delayed: 0,
      running: 0,
      oldest_waiting_seconds: null,
    });
  });

  test("a run that waits with its sandbox is delayed, says for what, and is listed by its lease", async () => {
    const { orm } = database();
    const runs = [
      { run: await seedRun(database()), lease: 30, waitingFor: null },
      { run: await seedRun(database()), lease: 10, waitingFor: "model" as const },
      { run: await seedRun(database()), lease: 20, waitingFor: null },
    ];
    for (const { run, lease, waitingFor } of runs)
      await orm
        .update(prompt)
        .set({ leaseExpiresAt: ago(-lease), waitingFor })
        .where(sql`id = ${run.promptId}`);
    const { queue, runs: listed } = await read();
    expect(queue).toMatchObject({ waiting: 0, delayed: 1, running: 2 });
    expect(listed.map((one) => [one.prompt_id, one.waiting_for])).toEqual([
      [runs[1]?.run.promptId ?? "", "model"],
      [runs[2]?.run.promptId ?? "", null],
      [runs[0]?.run.promptId ?? "", null],
    ]);
    await clear();
  });

  test("lists the processes that were seen last and the runs whose leases end first, up to its limits", async () => {
    const { orm } = database();
    await orm.execute(sql`
      insert into task_heartbeat (task, process, host, beaten_at)
      select 'retention', 'p' || n, 'here', now() - n * interval '1 second'
      from generate_series(${MAX_PROCESSES + 1}::int, 1, -1) n`);
    // A row's id begins with its number, so that what is equal is in the order of ids.
    await orm.execute(sql`
      with made as (
        insert into session (id, user_id, repo, target_branch, branch, title)
        select (lpad(n::text, 8, '0') || '-0000-4000-8000-000000000000')::uuid, 'alice', 'o/n', 'main', 'b' || n, 't'
        from generate_series(${MAX_RUNS + 2}::int, 1, -1) n returning id)
      insert into prompt (id, session_id, user_id, seq, data, status, lease_owner, lease_epoch, lease_expires_at)
      select id, id, 'alice', 1, '{}', 'Running', 'p1', 1,
        (now() + interval '1 hour' - case when id::text like '%9-0000-%' then interval '1 minute' else interval '0' end)
      from made`);
    const { processes, runs } = await read();
    expect(processes.map((one) => one.process)).toEqual(
      Array.from({ length: MAX_PROCESSES }, (_, index) => `p${index + 1}`),
    );
    const numbers = Array.from({ length: MAX_RUNS + 2 }, (_, index) => index + 1);
    const first = numbers.filter((n) => n % 10 === 9);
    expect(runs.map((one) => Number(one.prompt_id.slice(0, 8)))).toEqual(
      [...first, ...numbers.filter((n) => n % 10 !== 9)].slice(0, MAX_RUNS),
    );
    await clear();
  });

  test("its ETag changes with what it says, but not with the uptime alone", async () => {
    let uptime = 1;
    let free = 10;
    const app = makeApp({
      database: database(),
      here: async () => ({ ...(await noMachine()), uptime_seconds: uptime, disk_free_bytes: free }),
    });
    const get = (etag?: string) =>
      ask(
        app,
        "admin",
        "GET",
        "/system/status",
        undefined,
        etag === undefined ? {} : { "if-none-match": etag },
      );
    const etag = (await get()).headers.get("etag") ?? "";
    uptime = 2;
    expect((await get(etag)).status).toBe(304);
    free = 11;
    const changed = await get(etag);
    expect(changed.status).toBe(200);
    expect(changed.headers.get("etag")).not.toBe(etag);
    expect(changed.body.here).toMatchObject({ uptime_seconds: 2, disk_free_bytes: 11 });
  });

  test("names refused hosts, each once, with the newest session that asked", async () => {
    const [first, second] = [await seedSession(database(), 1), await seedSession(database(), 1)];
    const asked = (run: typeof first, host: string, seconds: number, decision: "allowed" | "refused") => ({
      id: Bun.randomUUIDv7(),
      sessionId: run.sessionId,
      promptId: run.promptIds[0] ?? "",
      host,
      port: 443,
      decision,
      rule: "EGRESS",
      count: 2,
      firstAt: ago(seconds),
      lastAt: ago(seconds),
    });
    await database()
      .orm.insert(egressRequest)
      .values([
        asked(first, "old.example", 90, "refused"),
        asked(first, "evil.example", 20, "refused"),
        asked(second, "evil.example", 10, "refused"),
        asked(second, "good.example", 5, "allowed"),
      ]);
    expect((await read()).refused_hosts).toMatchObject([
      { host: "evil.example", port: 443, count: 4, session_id: second.sessionId },
      { host: "old.example", port: 443, count: 2, session_id: first.sessionId },
    ]);
    await clear();
  });

  test("reads no more of what has ended or waits than it says", async () => {
    const { orm } = database();
    const { sessionId, promptIds } = await seedSession(database(), 1);
    await orm.execute(sql`
      insert into prompt (id, session_id, user_id, seq, data, status, not_before)
      select gen_random_uuid(), ${sessionId}::uuid, 'alice', n, '{}', case when n % 40 = 0 then 'Queued' else 'Completed' end,
        case when n % 80 = 0 then now() + interval '1 hour' end from generate_series(2, 4000) n`);
    await orm.execute(sql`
      insert into egress_request (id, session_id, prompt_id, host, port, decision, rule, count, first_at, last_at)
      select gen_random_uuid(), ${sessionId}::uuid, ${promptIds[0] ?? ""}::uuid, 'h' || n, 443,
        case when n % 4 = 0 then 'refused' else 'allowed' end, '', 1, now(), now() - n * interval '1 second'
      from generate_series(1, 6000) n`);
    await orm.execute(sql`analyze prompt`);
    await orm.execute(sql`analyze egress_request`);

    const queue = (await scansOfCall(orm, readQueue)).filter(({ table }) => table === "prompt");
    expect(queue.map(({ index }) => index)).not.toContain("Seq Scan");
    expect(queue.reduce((sum, { rows }) => sum + rows, 0)).toBeLessThan(400);
    const [runs] = await scansOf(orm, listRuns(orm).getSQL());
    expect(runs?.index).toBeOneOf(["prompt_lease_expires", "prompt_one_running"]);
    const hosts = await scansOf(orm, listRefusedHosts(orm).getSQL());
    expect(hosts).toEqual([{ table: "egress_request", index: "egress_request_refused", rows: 1_000 }]);
    expect((await read()).refused_hosts).toHaveLength(100);
    await clear();
  });
});
