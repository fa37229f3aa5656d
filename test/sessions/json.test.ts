import { expect, test } from "bun:test";
import type { TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { asc, desc, eq } from "drizzle-orm";
import { INBOX_STATUSES, PROMPT_STATUSES, SESSION_STATUSES } from "../../src/db/columns.ts";
import type { Turn } from "../../src/db/json-columns.ts";
import { message, prompt, session } from "../../src/db/tables.ts";
import { toMessageDto } from "../../src/messages/dto.ts";
import { messageModels } from "../../src/messages/model.ts";
import { promptModels } from "../../src/prompts/model.ts";
import { toDto } from "../../src/sessions/dto.ts";
import { sessionModels } from "../../src/sessions/model.ts";
import { makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";

/** What could end a line, a text or a number that is not as JSON has it. */
const ODD = 'a "quoted" \\ line\nand\r another\u2028\u2029 \u0001\t</script> é 𝄞';
const AT = new Date("2026-01-31T12:00:00.007Z");
const SANDBOX = { provider: "local", id: Bun.randomUUIDv7(), path: "/secret", host: "h" } as const;

describeEachDatabase("JSON that PostgreSQL makes", (database) => {
  const get = async (path: string) => {
    const reply = await makeApp({ database: database() }).handle(
      new Request(`http://localhost${path}`, { headers: { authorization: "Bearer alice" } }),
    );
    return { text: await reply.text(), type: reply.headers.get("content-type") };
  };
  const requireValid = (schema: TSchema, value: unknown) =>
    expect([...Value.Errors(schema, value)].slice(0, 3)).toEqual([]);

  test("of sessions in all their states is what their schema says, and what live streams send", async () => {
    const { orm } = database();
    const turn: Turn = { role: "user", content: ODD, prompt_id: Bun.randomUUIDv7(), at: AT.toISOString() };
    const waiting = { for: "model", reason: ODD, until: AT.toISOString(), since: AT.toISOString() } as const;
    const states = SESSION_STATUSES.flatMap((sessionStatus) =>
      INBOX_STATUSES.flatMap((inboxStatus) =>
        [null, SANDBOX].map((sbxConfig) => ({ sessionStatus, inboxStatus, sbxConfig })),
      ),
    );
    await orm.insert(session).values(
      states.map((state, n) => ({
        ...state,
        id: Bun.randomUUIDv7(),
        userId: "alice",
        repo: "owner/name",
        targetBranch: "main",
        branch: `b${n}`,
        title: ODD,
        messages: n % 2 === 0 ? [turn] : [],
        ...(n % 5 === 0 && {
          choice: { agent: n % 2 === 0 ? null : "codex", model: null, mode: "ask" as const },
        }),
        ...(n % 7 === 0 && { choice: { agent: "claude", model: "claude-opus-4-1", mode: "auto" as const } }),
        ...(n % 3 === 0 && {
          waiting,
          cancelledAt: AT,
          cancelledBy: ODD,
          cancellationStatus: "Requested" as const,
        }),
      })),
    );
    const rows = await orm.select().from(session).orderBy(desc(session.createdAt), desc(session.id));
    const list = await get("/sessions");
    expect(list.type).toStartWith("application/json");
    const { sessions } = JSON.parse(list.text);
    expect(sessions).toEqual(rows.map(toDto));
    requireValid(sessionModels.ListSessionsOutput, { sessions });
    for (const row of rows.slice(0, 4)) {
      const read = JSON.parse((await get(`/sessions/${row.id}`)).text);
      expect(read).toEqual({ session: { ...toDto(row), messages: row.messages } });
      requireValid(sessionModels.ReadSessionOutput, read);
    }
  });

  test("of messages is what their schema says, and what live streams send", async () => {
    const { orm } = database();
    const [owner] = await orm.select().from(session).limit(1);
    if (!owner) throw new Error("the first test makes sessions");
    const promptId = Bun.randomUUIDv7();
    const of = { sessionId: owner.id, userId: "alice" };
    await orm.insert(prompt).values({ ...of, id: promptId, seq: 1, data: "x", redone: 1 });
    const datas = [ODD, 1.5e300, { type: "assistant", uuid: "u", text: ODD, deep: [{ a: [] }, {}] }, [ODD]];
    await orm.insert(message).values(
      datas.map((data, n) => ({
        id: Bun.randomUUIDv7(),
        promptId,
        sessionId: owner.id,
        seq: n + 1,
        data,
        attempt: n,
      })),
    );
    const rows = await orm
      .select()
      .from(message)
      .where(eq(message.promptId, promptId))
      .orderBy(asc(message.seq));
    const listed = JSON.parse((await get(`/prompts/${promptId}/messages`)).text);
    expect(listed).toEqual({ messages: rows.map((row) => toMessageDto({ ...row, redone: 1 })) });
    requireValid(messageModels.ListMessagesOutput, listed);
    for (const [n, row] of rows.entries()) {
      const read = JSON.parse((await get(`/messages/${row.id}`)).text);
      expect(read).toEqual({ message: listed.messages[n] });
      requireValid(messageModels.ReadMessageOutput, read);
    }
  });

  test("of prompts is what their schema says", async () => {
    const { orm } = database();
    const sessionId = Bun.randomUUIDv7();
    const of = { sessionId, userId: "alice" };
    const title = { repo: "owner/name", targetBranch: "main", branch: "prompts", title: "T" };
    await orm.insert(session).values({ ...title, id: sessionId, userId: "alice" });
    const outage = { cause: "model", since: AT.toISOString(), tries: 2 } as const;
    const lease = { leaseOwner: "o", leaseExpiresAt: AT };
    const states = PROMPT_STATUSES.flatMap((status) => [false, true].map((full) => ({ status, full })));
    const rows = states.map(({ status, full }, n) => ({
      ...of,
      id: Bun.randomUUIDv7(),
      seq: n + 1,
      status,
      data: full ? [{ content: ODD, type: "text" }] : ODD,
      createdAt: AT,
      updatedAt: AT,
      ...(status === "Running" && lease),
      ...(full && {
        ...{
          error: ODD,
          errorKind: "agent" as const,
          usage: { turns: 3, cost_usd: 0.1 },
          commit: "c".repeat(40),
          budget: 1_500_000_001,
        },
        ...{ memory: "cold" as const, memoryReason: ODD, isolation: { isolated: true, detail: ODD } },
        ...{ startedAt: AT, finishedAt: AT },
        phases: [{ name: "queued" as const, started_at: "2026-01-31T13:00:00.007+01:00" }],
      }),
      // Only what waits says why and until when.
      ...{ outage, notBefore: AT },
      ...(n % 4 === 1 && { waitingFor: "model" as const }),
    }));
    // Of two that run at once the database refuses the second.
    const kept = rows.filter(({ status, error }) => status !== "Running" || error !== undefined);
    await orm.insert(prompt).values(kept);
    const listed = JSON.parse((await get(`/sessions/${sessionId}/prompts`)).text);
    requireValid(promptModels.ListPromptsOutput, listed);
    const at = AT.toISOString();
    expect(listed.prompts).toEqual(
      kept.map((row) => ({
        ...{ id: row.id, session_id: sessionId, kind: "agent", data: row.data, seq: row.seq, priority: 0 },
        ...{ status: row.status, attempt: 0, error: row.error ?? null, error_kind: row.errorKind ?? null },
        ...{ agent: null, model: null, mode: "auto", max_turns: null },
        budget_usd: row.budget === undefined ? null : 1.500000001,
        ...{ project_id: null, project_version: null },
        waiting_for: row.waitingFor ?? null,
        waiting_reason: row.waitingFor ? (row.error ?? null) : null,
        waiting_since: row.waitingFor ? at : null,
        next_attempt_at: row.waitingFor ? at : null,
        waiting_budget: null,
        ...{ usage: row.usage ?? null, commit: row.commit ?? null, memory: row.memory ?? null },
        memory_reason: row.memoryReason ?? null,
        phases: row.phases
          ? [
              { name: "queued", started_at: at },
              { name: "finished", started_at: at },
            ]
          : [{ name: "queued", started_at: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/) }],
        isolation: row.isolation ?? null,
        ...{ started_at: row.startedAt ? at : null, finished_at: row.finishedAt ? at : null },
        ...{ created_at: at, updated_at: at },
      })),
    );
    for (const one of listed.prompts.slice(0, 4)) {
      const read = JSON.parse((await get(`/prompts/${one.id}`)).text);
      expect(read).toEqual({ prompt: one });
      requireValid(promptModels.ReadPromptOutput, read);
    }
  });
});
