import { expect, test } from "bun:test";
import type { TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { asc, desc, eq } from "drizzle-orm";
import { INBOX_STATUSES, SESSION_STATUSES } from "../../src/db/columns.ts";
import type { Turn } from "../../src/db/json-columns.ts";
import { message, prompt, session } from "../../src/db/tables.ts";
import { toMessageDto } from "../../src/messages/dto.ts";
import { messageModels } from "../../src/messages/model.ts";
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
  });
});
