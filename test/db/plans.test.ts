import { afterAll, beforeAll, expect, test } from "bun:test";
import { sql as drizzleSql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { purgeExpiredKeys } from "../../src/api/idempotency-store.ts";
import { listAudit } from "../../src/audit/list-store.ts";
import { purgeAudit, sealAudit } from "../../src/audit/seal-store.ts";
import { type Orm, rowsOf } from "../../src/db/client.ts";
import { readForScrape } from "../../src/db/deployment-metrics.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { purgeOldRequestCounts } from "../../src/db/request-counts.ts";
import * as tables from "../../src/db/tables.ts";
import { listDeadLetters } from "../../src/dead-letters/store.ts";
import { listEffects } from "../../src/effects/list-store.ts";
import { redispatchLost } from "../../src/lifecycle/dispatch.ts";
import { closeCancelled, remindOfCancellations } from "../../src/lifecycle/enforce-cancellations.ts";
import { findSession, messagesAfter, pageOfSessions, versionsOf } from "../../src/live/store.ts";
import { purgeExpiredTickets } from "../../src/live/ticket-store.ts";
import { FIRST_MEMORY, purgeOldMemory } from "../../src/memory/purge-store.ts";
import { purgeOldMessages } from "../../src/messages/purge-store.ts";
import { listMessages, readMessage } from "../../src/messages/store.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { listPermissions } from "../../src/permissions/store.ts";
import { countUnfinished } from "../../src/prompts/create-store.ts";
import { listSteers } from "../../src/prompts/steer-store.ts";
import { listPrompts, readPrompt } from "../../src/prompts/store.ts";
import { claimLooks, wantLook } from "../../src/pull-requests/look-store.ts";
import { claimOutbox, purgePublished } from "../../src/queue/outbox.ts";
import { recentRepositories } from "../../src/repositories/store.ts";
import { heldSandboxes, idleSandboxes } from "../../src/sandboxes/store.ts";
import { openSessionLists } from "../../src/sessions/list-store.ts";
import { purgeableSessions, purgeSession } from "../../src/sessions/purge-store.ts";
import { openSessionReads } from "../../src/sessions/read-store.ts";
import { purgeUsedCodes, purgeWebSessions } from "../../src/web-sessions/store.ts";
import { purgeOldSignatures } from "../../src/webhooks/store.ts";
import { createDatabase, describeWith } from "../harness/services.ts";

const ID = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";
const NOW = new Date().toISOString();
const viewer = { userId: "alice", admin: false };

/** There are no rows: only the statement counts. */
const missing = async (reading: Promise<unknown>) =>
  void (await expect(reading).rejects.toThrow("does not exist"));

/** Functions whose statements read large tables, and the indexes that they read, as far as it matters which. */
const CALLS: Record<string, { indexes?: string[]; call: (orm: Orm) => Promise<unknown> }> = {
  "a later page of all of a user's sessions": {
    indexes: ["session_user"],
    call: (orm) =>
      pageOfSessions(orm, { userId: "alice", after: { createdAt: new Date(), id: ID }, resume: undefined }),
  },
  "all of a user's sessions, and whether they are as before": {
    indexes: ["session_user"],
    call: (orm) => openSessionLists(orm)("alice", {}, null),
  },
  "a session by its id": {
    indexes: ["session_pkey"],
    call: (orm) => missing(openSessionReads(orm)({ userId: "alice", id: ID, ifNoneMatch: null })),
  },
  "a prompt by its id": {
    indexes: ["prompt_pkey", "session_pkey"],
    call: (orm) => missing(readPrompt(orm, { userId: "alice", id: ID, ifNoneMatch: null })),
  },
  "a message by its id": {
    indexes: ["message_pkey", "session_pkey"],
    call: (orm) => missing(readMessage(orm, { userId: "alice", id: ID, ifNoneMatch: null })),
  },
  "the prompts of a session": {
    indexes: ["session_pkey", "prompt_session_seq"],
    call: (orm) => missing(listPrompts(orm, { userId: "alice", ownerId: ID, limit: 10 }, null)),
  },
  "the messages of a prompt": {
    indexes: ["prompt_pkey", "session_pkey", "message_prompt_seq"],
    call: (orm) => missing(listMessages(orm, { userId: "alice", ownerId: ID, limit: 10 }, null)),
  },
  "what was said to the agent of a prompt": {
    indexes: ["prompt_pkey", "session_pkey", "steer_prompt"],
    call: (orm) => missing(listSteers(orm, { userId: "alice", id: ID, limit: 10 })),
  },
  "the questions of a session": {
    indexes: ["session_pkey", "permission_request_session"],
    call: (orm) => missing(listPermissions(orm, { userId: "alice", sessionId: ID, limit: 10 })),
  },
  "the effects of a session": {
    indexes: ["session_pkey", "effect_session"],
    call: (orm) => missing(listEffects(orm, { userId: "alice", sessionId: ID, limit: 10 })),
  },
  "sessions of some statuses": {
    indexes: ["session_user_status"],
    call: (orm) => openSessionLists(orm)("alice", { status: ["Archived", "Pending"], limit: 10 }, null),
  },
  "prompts whose jobs were lost": {
    indexes: ["prompt_undispatched"],
    call: (orm) => redispatchLost(orm, 1_000),
  },
  "a session of a stream": { call: (orm) => findSession(orm, "alice", ID) },
  "messages of a stream": { indexes: ["message_session_seq"], call: (orm) => messagesAfter(orm, ID, 1) },
  "versions of a user's sessions": { call: (orm) => versionsOf(orm, "alice") },
  "the quota of a user": {
    indexes: ["prompt_user_unfinished"],
    call: (orm) => countUnfinished(orm, "alice", 10),
  },
  "the repositories of a user": {
    indexes: ["session_user_repo"],
    call: (orm) => recentRepositories(orm, "alice"),
  },
  "the audit log of a time": {
    indexes: ["audit_event_at", "audit_event_pkey"],
    call: (orm) => listAudit(orm, { from: NOW, to: NOW, limit: 100 }),
  },
  "the audit log of an actor": {
    indexes: ["audit_event_actor"],
    call: (orm) => listAudit(orm, { actor: "alice", limit: 100 }),
  },
  "all dead letters": {
    indexes: ["dead_letter_created"],
    call: (orm) => listDeadLetters(orm, { ...viewer, admin: true }, undefined),
  },
  "a user's dead letters": {
    indexes: ["dead_letter_user_created"],
    call: (orm) => listDeadLetters(orm, viewer, undefined),
  },
  "the deployment's metrics": {
    indexes: ["dead_letter_pending", "model_call_open", "spend_scope_subject_period_pk"],
    call: (orm) => readForScrape({ orm, leads: async () => true }),
  },
  "all dead letters of a status": {
    indexes: ["dead_letter_status_created"],
    call: (orm) => listDeadLetters(orm, { ...viewer, admin: true }, "Resolved"),
  },
  "pull requests of a repository": {
    indexes: ["pull_request_open_url"],
    call: (orm) => wantLook(orm, { repository: "https://git.invalid/owner/name" }),
  },
  "pull requests to be read again": { indexes: ["pull_request_look"], call: (orm) => claimLooks(orm, 4) },
  "sandboxes that are held": { indexes: ["session_sandbox_id"], call: (orm) => heldSandboxes(orm, [ID]) },
  "sandboxes to be returned": { indexes: ["session_sandbox"], call: (orm) => idleSandboxes(orm) },
  "runners to be reminded of cancellations": { call: remindOfCancellations },
  "cancelled prompts that nobody ends": {
    indexes: ["session_cancelling"],
    call: (orm) => closeCancelled(orm, 1_000),
  },
  "the outbox": { indexes: ["outbox_due"], call: (orm) => claimOutbox(orm, 100) },
  "the sealing of the audit log": { call: sealAudit },
  "purge: published jobs": { indexes: ["outbox_published"], call: purgePublished },
  "purge: idempotency keys": { indexes: ["idempotency_key_created"], call: purgeExpiredKeys },
  "purge: request counts": { indexes: ["request_limit_expire"], call: purgeOldRequestCounts },
  "purge: tickets": { indexes: ["event_ticket_expires"], call: purgeExpiredTickets },
  "purge: web sessions": { indexes: ["web_session_expires"], call: purgeWebSessions },
  "purge: sign-in codes": { indexes: ["used_sign_in_code_expires"], call: purgeUsedCodes },
  "purge: webhooks' signatures": { indexes: ["webhook_signature_seen"], call: purgeOldSignatures },
  "purge: the audit log": { call: (orm) => purgeAudit(orm, 1, 100) },
  "purge: memories": {
    indexes: ["agent_memory_stored", "agent_memory_session"],
    call: (orm) => purgeOldMemory(orm, { days: 1, after: FIRST_MEMORY }),
  },
  "purge: messages": {
    indexes: ["message_pkey"],
    call: (orm) => purgeOldMessages(orm, { days: 1, after: "" }),
  },
  "purge: deleted sessions": { indexes: ["session_deleted"], call: (orm) => purgeableSessions(orm, 1) },
  "purge: a deleted session": {
    indexes: ["dead_letter_entity"],
    call: (orm) => purgeSession(orm, ID, 1),
  },
};

/** Of which each process, or each purge, has a few rows. */
const SMALL = new Set(["task_heartbeat", "audit_pending", "audit_anchor", "model_api"]);

interface Plan {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Name"?: string;
  Plans?: Plan[];
}
const flat = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(flat)];

describeWith("postgres", "the plan that a prepared statement may get, without its values", () => {
  let database: Awaited<ReturnType<typeof createDatabase>>;
  let sql: postgres.Sql;
  const sent: string[] = [];
  const options = { max: 1, onnotice: () => undefined, fetch_types: false };
  let orm: Orm;
  beforeAll(async () => {
    database = await createDatabase();
    sql = postgres(database.url, options);
    const logger = { logQuery: (text: string) => void sent.push(text) };
    orm = drizzle(sql, { schema: tables, logger }) as unknown as Orm;
    // The tables are empty: what is read from end to end now, although that is forbidden, always would be.
    await sql.unsafe("set enable_seqscan = off; set plan_cache_mode = force_generic_plan");
  });
  afterAll(async () => {
    await sql.end();
    await database.drop();
  });

  const plansOf = async (call: (orm: Orm) => Promise<unknown>): Promise<Plan[]> => {
    sent.length = 0;
    await call(orm);
    const plans: Plan[] = [];
    for (const text of sent.filter((one) => /^\s*(select|with|update|delete)\b/i.test(one))) {
      await sql.unsafe(`prepare one as ${text}`);
      const values = new Set(text.match(/\$\d+/g)).size;
      const given = values > 0 ? `(${Array(values).fill("null").join(", ")})` : "";
      const [row] = await sql.unsafe(`explain (format json) execute one${given}`);
      plans.push(...flat(row?.["QUERY PLAN"][0].Plan));
      await sql.unsafe("deallocate one");
    }
    return plans;
  };

  test.each(Object.keys(CALLS))("%s: by indexes", async (name) => {
    const { indexes = [], call } = CALLS[name] ?? { call: async () => undefined };
    const plans = await plansOf(call);
    const scanned = plans
      .filter((one) => one["Node Type"] === "Seq Scan")
      .map((one) => one["Relation Name"] ?? "");
    expect(scanned.filter((table) => !SMALL.has(table))).toEqual([]);
    expect(plans.map((one) => one["Index Name"] ?? "")).toEqual(expect.arrayContaining(indexes));
  });

  test("a status whose value is not in the text finds no partial index", async () => {
    const text = "select 1 from prompt where user_id = $1 and status in ($2, $3)";
    await sql.unsafe(`prepare one as ${text}`);
    const [row] = await sql.unsafe("explain (format json) execute one(null, null, null)");
    const names = flat(row?.["QUERY PLAN"][0].Plan).map((one) => one["Index Name"]);
    expect(names).not.toContain("prompt_user_unfinished");
  });
});

describeWith("postgres", "the plans of a page of a user's sessions", () => {
  test("are not made anew for each request, however many sessions there are", async () => {
    const made = await createDatabase();
    const database = await openPostgres({
      url: made.url,
      poolMax: 1,
      logger: createLogger({ level: "silent" }),
    });
    try {
      const { orm } = database;
      await orm.execute(drizzleSql`insert into session (id, user_id, repo, target_branch, branch, title)
        select gen_random_uuid(), 'user-' || n % 2, 'owner/name', 'main', 'b' || n, 'T' from generate_series(1, 4000) n`);
      await orm.execute(drizzleSql`analyze session`);
      const list = openSessionLists(orm);
      for (const limit of [10, 25, 50, 51, 100])
        for (let n = 0; n < 8; n += 1) await list("user-1", { limit }, null);
      const plans = await rowsOf<{ made: string }>(
        orm,
        drizzleSql`select custom_plans as made from pg_prepared_statements
          where statement like 'select state%'`,
      );
      // PostgreSQL makes the first five to compare with.
      expect(plans.map((one) => Number(one.made))).toEqual([5, 5]);
    } finally {
      await database.close();
      await made.drop();
    }
  });
});
