import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { hashOf, ORIGIN } from "../../src/audit/chain.ts";
import { purgeAudit, sealAudit, verifyAudit } from "../../src/audit/seal-store.ts";
import { recordAudit } from "../../src/db/audit-log.ts";
import { auditEvent, auditPending } from "../../src/db/safety-tables.ts";
import { ask, clientOf, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";

describeEachDatabase("the audit log", (database) => {
  const orm = () => database().orm;
  const { send, create } = clientOf(database);
  const read = (query = "", headers: Record<string, string> = {}) =>
    ask(makeApp({ database: database() }), "admin", "GET", `/audit${query}`, undefined, headers);
  const sealAll = async () => {
    while ((await sealAudit(orm()))?.more);
  };
  const record = (target: string, actor = "alice") =>
    recordAudit(orm(), { actor, action: "session.update", target });
  /** What only the owner of the tables can do. */
  const withoutTriggers = async (statement: ReturnType<typeof sql>) => {
    await orm().execute(sql`alter table audit_event disable trigger user`);
    await orm().execute(statement);
    await orm().execute(sql`alter table audit_event enable trigger user`);
  };

  test("what a user does is recorded with its actor and target, in the transaction of the act", async () => {
    const { sessionId, promptId } = await create("SECRET-PROMPT-TEXT");
    await send("PUT", `/prompts/${promptId}`, { data: "SECRET-PROMPT-TEXT 2" });
    await send("PUT", `/sessions/${sessionId}`, { id: sessionId, title: "SECRET-TITLE" });
    await send("PUT", `/sessions/${sessionId}`, { id: sessionId, ui_status: "Archived" });
    await send("PUT", `/sessions/${sessionId}`, { id: sessionId, ui_status: "NeedsReview" });
    await send("DELETE", `/prompts/${promptId}`);
    await send("POST", `/sessions/${sessionId}/cancel`);
    await send("DELETE", `/sessions/${sessionId}`);
    // What is refused did not happen.
    expect((await send("DELETE", `/sessions/${sessionId}`)).status).toBe(404);
    const { entries } = (await read("?actor=alice")).body;
    expect(entries.map(({ action }: { action: string }) => action).toReversed()).toEqual([
      "session.create",
      "prompt.create",
      "prompt.update",
      "session.update",
      "session.archive",
      "session.reopen",
      "prompt.delete",
      "session.cancel",
      "session.delete",
    ]);
    expect(entries.at(-1)).toMatchObject({
      target: `session:${sessionId}`,
      detail: { repo: "owner/name", target_branch: "main" },
    });
    expect(entries.at(-2)).toMatchObject({ target: `prompt:${promptId}`, detail: { session: sessionId } });
    expect(JSON.stringify(entries)).not.toContain("SECRET");
  });

  test("only admins read it, and each reading is in it", async () => {
    const reply = await ask(makeApp({ database: database() }), "alice", "GET", "/audit");
    expect([reply.status, reply.body.code]).toEqual([403, "admin_required"]);
    const { entries } = (await read("?action=audit.read&limit=1")).body;
    expect(entries[0]).toMatchObject({ actor: "admin", detail: { action: "audit.read", exported: false } });
  });

  test("attack: a reading by a cursor made by hand is in it, too", async () => {
    await read(`?limit=1&cursor=${btoa("999999999").replaceAll("=", "")}`);
    await read("?cursor=eA", { accept: "application/x-ndjson" }).catch(() => undefined);
    const { entries } = (await read("?action=audit.read&limit=3")).body;
    const [, exported, byHand] = entries;
    expect(exported.detail).toEqual({ exported: true });
    expect(byHand.detail).toMatchObject({ cursor: expect.any(String), exported: false });
  });

  test("pages and filters: newest first, from and to, and a cursor", async () => {
    for (let n = 0; n < 5; n += 1) await record(`session:${n}`, "pages");
    const first = (await read("?actor=pages&limit=2")).body;
    const second = (await read(`?actor=pages&limit=10&cursor=${first.next_cursor}`)).body;
    const targets = [...first.entries, ...second.entries].map(({ target }) => target);
    expect(targets).toEqual(["session:4", "session:3", "session:2", "session:1", "session:0"]);
    expect(second.next_cursor).toBeNull();
    const { at } = first.entries[0];
    expect((await read(`?actor=pages&to=${at}`)).body.entries.length).toBeLessThan(5);
    expect((await read("?actor=pages&from=2100-01-01T00:00:00Z")).body.entries).toEqual([]);
    expect((await read("?cursor=eA")).status).toBe(422);
  });

  test("the export is one JSON object a line, in the order of the chain, and verifies by itself", async () => {
    for (let n = 0; n < 1_100; n += 100)
      await recordAudit(
        orm(),
        ...Array.from({ length: 100 }, (_, i) => ({
          actor: "export",
          action: "session.update" as const,
          target: `session:${n + i}`,
          detail: { z: 1, a: { d: [1, "ü"], c: null } },
        })),
      );
    await sealAll();
    const app = makeApp({ database: database() });
    const headers = { accept: "application/x-ndjson", authorization: "Bearer admin" };
    const reply = await app.handle(new Request("http://localhost/audit", { headers }));
    expect(reply.headers.get("content-type")).toBe("application/x-ndjson");
    const lines = (await reply.text()).trimEnd().split("\n");
    expect(lines.length).toBeGreaterThan(1_100);
    let hash = ORIGIN.hash;
    for (const [index, line] of lines.entries()) {
      const entry = JSON.parse(line);
      expect(entry.seq).toBe(index + 1);
      hash = hashOf(hash, { ...entry, at: new Date(entry.at) });
      expect(entry.hash).toBe(hash);
    }
  });

  test("concurrent writers and sealers on several nodes make one chain without gaps", async () => {
    const before = (await verifyAudit(orm())).head.seq;
    const writers = Array.from({ length: 40 }, async (_, n) => {
      await orm()
        .transaction(async (tx) => {
          await recordAudit(tx, { actor: "w", action: "session.update", target: `session:${n}` });
          await tx.execute(sql`select pg_sleep(${(n % 5) / 100}::float8)`);
          if (n % 4 === 0) throw new Error("rolled back");
        })
        .catch(() => undefined);
      await sealAudit(orm());
    });
    const sealers = Array.from({ length: 20 }, () => sealAudit(orm()));
    await Promise.all([...writers, ...sealers]);
    await sealAll();
    expect(await verifyAudit(orm())).toMatchObject({ head: { seq: before + 30 }, problem: undefined });
    expect(await orm().select().from(auditPending)).toEqual([]);
  });

  test("names that others choose cannot keep an act from being recorded", async () => {
    await recordAudit(orm(), {
      actor: "a\0b",
      action: "egress.refuse",
      target: `host:${"x".repeat(5_000)}`,
      detail: { host: "evil\0.example\ud800", nested: ["\0"], path: "\\u0000" },
    });
    await sealAll();
    const [row] = await orm().select().from(auditEvent).where(eq(auditEvent.action, "egress.refuse"));
    expect(row?.actor).toBe("a\ufffdb");
    expect(row?.target).toHaveLength(1_000);
    expect(row?.detail).toEqual({ host: "evil\ufffd.example\ufffd", nested: ["\ufffd"], path: "\\u0000" });
    expect((await verifyAudit(orm())).problem).toBeUndefined();
  });

  test.each([
    ["update", sql`update audit_event set actor = 'nobody' where seq = 2`],
    ["update of a hash", sql`update audit_event set hash = 'x' where seq = 2`],
    ["delete", sql`delete from audit_event where seq = 2`],
    ["delete of all", sql`delete from audit_event`],
    ["truncate", sql`truncate audit_event`],
    ["truncate with others", sql`truncate audit_event, audit_pending, audit_anchor cascade`],
    ["delete of what is pending", sql`delete from audit_pending`],
    ["update of what is pending", sql`update audit_pending set actor = 'nobody'`],
    [
      "delete after a forged anchor",
      sql`with a as (insert into audit_anchor (seq, hash) values (1000000, 'x') returning seq) delete from audit_event where seq <= (select seq from a)`,
    ],
  ])("attack: %s by SQL is refused by a trigger", async (_what, statement) => {
    const attack = () =>
      orm()
        .execute(statement)
        .then(
          () => "it worked",
          (error: Error) => String(error.cause),
        );
    await sealAll();
    await record("session:kept");
    expect(await attack()).toContain("append-only");
    await sealAll();
    expect((await verifyAudit(orm())).problem).toBeUndefined();
  });

  test("attack: changed, removed or added with triggers disabled, it is found by verification", async () => {
    for (let n = 0; n < 5; n += 1) await record(`session:${n}`, "victim");
    await sealAll();
    const { head } = await verifyAudit(orm());
    const at = head.seq - 2;
    const undo = async (attack: ReturnType<typeof sql>, restore: ReturnType<typeof sql>) => {
      await withoutTriggers(attack);
      const { problem } = await verifyAudit(orm());
      // The newest entries alone show it, too.
      expect((await verifyAudit(orm(), 4)).problem).toBe(problem as string);
      await withoutTriggers(restore);
      expect((await verifyAudit(orm())).problem).toBeUndefined();
      return problem;
    };
    await orm().execute(sql`create table stolen as select * from audit_event where seq = ${at}`);
    for (const [column, value] of [
      ["at", sql`at + interval '1 hour'`],
      ["actor", sql`'nobody'`],
      ["action", sql`'session.delete'`],
      ["target", sql`'session:other'`],
      ["detail", sql`'{"forged": true}'::jsonb`],
      ["hash", sql`${"0".repeat(64)}`],
    ] as const) {
      const name = sql.identifier(column);
      const change = sql`update audit_event set ${name} = ${value} where seq = ${at}`;
      const restore = sql`update audit_event e set ${name} = s.${name} from stolen s where e.seq = s.seq`;
      expect([column, await undo(change, restore)]).toEqual([
        column,
        expect.stringContaining(`entry ${at} `),
      ]);
    }
    // Whoever knows how hashes are made still breaks the next link.
    const [before, entry] = await orm()
      .select()
      .from(auditEvent)
      .where(sql`seq between ${at - 1} and ${at}`)
      .orderBy(auditEvent.seq);
    if (!before || !entry) throw new Error("the entries are gone");
    const forged = hashOf(before.hash, { ...entry, actor: "nobody" });
    expect(
      await undo(
        sql`update audit_event set actor = 'nobody', hash = ${forged} where seq = ${at}`,
        sql`update audit_event set actor = ${entry.actor}, hash = ${entry.hash} where seq = ${at}`,
      ),
    ).toContain(`entry ${at + 1} `);
    expect(
      await undo(
        sql`delete from audit_event where seq = ${at}`,
        sql`insert into audit_event select * from stolen`,
      ),
    ).toContain(`entry ${at} is missing`);
    await orm().execute(sql`drop table stolen`);
    // A rewritten chain is one of its own: its head is not the noted one.
    expect((await verifyAudit(orm())).head).toEqual(head);
  });

  // An anchor may be added by whoever may write the tables: verification began after it, and saw nothing before.
  test.each(["an entry before it was changed", "the entries before it were removed"])(
    "attack: with a forged anchor, %s, it is found by verification",
    async (what) => {
      for (let n = 0; n < 5; n += 1) await record(`session:${n}`, "victim");
      await sealAll();
      const { head } = await verifyAudit(orm());
      const seq = head.seq - 2;
      await orm().execute(sql`create table kept as select * from audit_event where seq <= ${seq}`);
      await orm().execute(
        sql`insert into audit_anchor (seq, hash) select seq, hash from audit_event where seq = ${seq}`,
      );
      await withoutTriggers(
        what.includes("removed")
          ? sql`delete from audit_event where seq <= ${seq}`
          : sql`update audit_event set actor = 'nobody' where seq = ${seq - 1}`,
      );
      expect((await verifyAudit(orm())).problem).toBe(`the anchor at entry ${seq} is not from a purge`);
      await withoutTriggers(sql`delete from audit_event where seq <= ${seq}`);
      await withoutTriggers(sql`insert into audit_event select * from kept`);
      await orm().execute(sql`drop table kept`);
      await orm().execute(sql`alter table audit_anchor disable trigger user`);
      await orm().execute(sql`delete from audit_anchor where seq = ${seq}`);
      await orm().execute(sql`alter table audit_anchor enable trigger user`);
      expect(await verifyAudit(orm())).toMatchObject({ head, problem: undefined });
    },
  );

  test("retention purges whole days from the beginning, and what is left still verifies", async () => {
    await sealAll();
    const { head } = await verifyAudit(orm());
    for (const days of [1, 365]) expect(await purgeAudit(orm(), days, 500)).toBe(0);
    // Time passes: all entries so far are 40 days older, and the chain is made anew.
    await withoutTriggers(sql`update audit_event set at = at - interval '40 days'`);
    const rows = await orm().select().from(auditEvent).orderBy(auditEvent.seq);
    let hash = ORIGIN.hash;
    for (const row of rows) {
      hash = hashOf(hash, row);
      row.hash = hash;
    }
    await withoutTriggers(
      sql`update audit_event e set hash = r.hash from jsonb_to_recordset(${JSON.stringify(rows.map(({ seq, hash }) => ({ seq, hash })))}::jsonb) as r (seq bigint, hash text) where e.seq = r.seq`,
    );
    await record("session:young");
    await sealAll();
    expect((await verifyAudit(orm())).problem).toBeUndefined();
    let purged = 0;
    for (let count = 500; count === 500; purged += count) count = await purgeAudit(orm(), 30, 500);
    expect(purged).toBe(head.seq);
    // The purge itself is not sealed yet.
    expect((await verifyAudit(orm())).problem).toBeUndefined();
    await sealAll();
    const after = await verifyAudit(orm());
    expect(after).toMatchObject({ problem: undefined });
    const { entries } = (await read("?action=audit.purge")).body;
    expect(entries[0].detail.hash).toBe(hash);
    // Without its anchor, the rest is not the whole.
    await withoutTriggers(sql`delete from audit_event where seq = ${head.seq + 1}`);
    expect((await verifyAudit(orm())).problem).toContain("missing");
  });
});
