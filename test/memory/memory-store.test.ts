import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import type { Turn } from "../../src/db/json-columns.ts";
import { agentMemory } from "../../src/db/memory-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { readPriorMemory } from "../../src/memory/memory-store.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession } from "../harness/seed.ts";

describeEachDatabase("what a session knows before a run", (database) => {
  /** A session whose first prompts have answers by an agent, and whose last one is about to run. */
  const open = async (prompts: number) => {
    const { orm } = database();
    const { sessionId, promptIds } = await seedSession(database(), prompts);
    const turn = (promptId: string, role: Turn["role"]): Turn => ({
      ...{ role, content: `${role} ${promptIds.indexOf(promptId) + 1}`, prompt_id: promptId },
      at: new Date(0).toISOString(),
    });
    const setTurns = (messages: Turn[]) =>
      orm.update(session).set({ messages }).where(eq(session.id, sessionId));
    await setTurns(promptIds.slice(0, -1).flatMap((id) => [turn(id, "user"), turn(id, "assistant")]));
    await orm.update(prompt).set({ memory: "resumed" }).where(eq(prompt.sessionId, sessionId));
    const run = { sessionId, promptId: promptIds.at(-1) } as ClaimedRun;
    return {
      ...{ sessionId, promptIds, turn, setTurns },
      remember: (promptId: string | undefined, daysAgo: number, agent = "claude") =>
        orm.insert(agentMemory).values({
          ...{ id: Bun.randomUUIDv7(), sessionId, promptId: String(promptId), agent },
          ...{
            bytes: 1,
            files: [],
            problem: `of ${daysAgo}`,
            storedAt: sql`now() - ${daysAgo}::int * interval '1 day'`,
          },
        }),
      async read({ all = false, agent = "claude" } = {}) {
        const { stored, otherAgent, turns } = await readPriorMemory(orm, run, { agent, all });
        const memory: string | undefined = stored?.problem ?? undefined;
        return { memory, otherAgent, turns: turns.map(({ content }) => content) };
      },
    };
  };

  test("its newest memory, and the turns since then; all turns if that cannot be used", async () => {
    const { promptIds, remember, read } = await open(4);
    await remember(promptIds[1], 1);
    await remember(promptIds[0], 2);
    expect(await read()).toEqual({ memory: "of 1", otherAgent: null, turns: ["user 3", "assistant 3"] });
    const all = ["user 1", "assistant 1", "user 2", "assistant 2", "user 3", "assistant 3"];
    expect((await read({ all: true })).turns).toEqual(all);
  });

  test("its own memory, and the turns since then, though another agent has worked on the session after it", async () => {
    const { promptIds, remember, read } = await open(3);
    await remember(promptIds[0], 2);
    await remember(promptIds[1], 1, "codex");
    const since = ["user 2", "assistant 2"];
    expect(await read()).toEqual({ memory: "of 2", otherAgent: "codex", turns: since });
    expect(await read({ agent: "codex" })).toEqual({ memory: "of 1", otherAgent: null, turns: [] });
    // A third one knows nothing.
    expect(await read({ agent: "gemini" })).toEqual({
      ...{ memory: undefined, otherAgent: "codex", turns: ["user 1", "assistant 1", ...since] },
    });
  });

  test("not what its own earlier attempt has answered, as of a prompt that was revived", async () => {
    const { promptIds, turn, setTurns, read } = await open(1);
    const [id = ""] = promptIds;
    await setTurns([turn(id, "user"), turn(id, "assistant")]);
    expect(await read()).toEqual({ memory: undefined, otherAgent: null, turns: [] });
    expect((await read({ all: true })).turns).toEqual([]);
  });

  test("not the turns of prompts that no agent has worked on, such as a cancelled one", async () => {
    const { promptIds, read } = await open(3);
    await database()
      .orm.update(prompt)
      .set({ memory: null })
      .where(eq(prompt.id, String(promptIds[0])));
    expect((await read()).turns).toEqual(["user 2", "assistant 2"]);
  });

  test("the newest 200 turns, in order", async () => {
    const { promptIds, turn, setTurns, read } = await open(2);
    const [id = ""] = promptIds;
    const said = (n: number): Turn => ({ ...turn(id, n % 2 ? "assistant" : "user"), content: `${n}` });
    await setTurns(Array.from({ length: 300 }, (_, n) => said(n)));
    const { turns } = await read();
    expect([turns.length, turns[0], turns.at(-1)]).toEqual([200, "100", "299"]);
  });

  test("nothing of another session", async () => {
    const one = await open(3);
    await one.remember(one.promptIds[0], 1);
    const other = await open(1);
    expect(await other.read()).toEqual({ memory: undefined, otherAgent: null, turns: [] });
  });
});
