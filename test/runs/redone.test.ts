import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { textEvent } from "../../src/agents/events.ts";
import { prompt } from "../../src/db/tables.ts";
import { revivePrompts } from "../../src/lifecycle/revive.ts";
import type { MessageDto } from "../../src/messages/model.ts";
import { listMessages } from "../../src/messages/store.ts";
import { MAX_ATTEMPTS } from "../../src/runs/failures.ts";
import { openRunWriter } from "../../src/runs/writer.ts";
import { describeRuns, diskFull, HALF_DONE, never, shellAgent } from "./fixture.ts";

const CUT_SHORT = "The run was cut short; the prompt starts again from a clean checkout.";
const RESTARTED = "The service was interrupted; the prompt starts again from a clean checkout.";
const WHOLE = shellAgent("echo anew; cat > whole.txt");

describeRuns("a prompt that starts over", (fixture) => {
  const wanted = (promptId: string) => ({ userId: "alice", ownerId: promptId });
  /** Each message's first line, attempt and whether it is superseded, up to the first line of the last attempt's agent. */
  const shown = async (promptId: string) => {
    const { page } = await listMessages(fixture().database.orm, wanted(promptId), null);
    const messages = (page?.rows ?? []).map((json) => JSON.parse(json) as MessageDto);
    const lines = messages.map(({ data, attempt, superseded }) => {
      const text = (data as { message: { content: { text: string }[] } }).message.content[0]?.text;
      return [text?.split("\n")[0], attempt, superseded] as const;
    });
    return lines.slice(0, lines.findIndex(([text]) => text === "anew") + 1);
  };
  const turns = async (sessionId: string, promptId: string) =>
    (await fixture().sessionRow(sessionId))?.messages.filter(
      (one) => one.role === "assistant" && one.prompt_id === promptId,
    );
  /** Runs a prompt whose agent is killed, with its supervisor, while its runner watches. */
  const cutShort = async (ids: { sessionId: string; promptId: string }) => {
    const { depsFor, run, waitForText, killAgent } = fixture();
    const first = run(ids.promptId, depsFor(shellAgent(HALF_DONE)));
    await waitForText(ids.promptId, "begun");
    await killAgent(ids.sessionId);
    await first;
  };
  /** A claim of the prompt that ends before it has a sandbox. */
  const beginInVain = async (promptId: string) => {
    const { depsFor, machine, run, skipBackoff } = fixture();
    const sandboxes = { ...machine.provider, open: () => Promise.reject(diskFull()) };
    await run(promptId, depsFor(WHOLE, { sandboxes }));
    await skipBackoff(promptId);
  };

  test("marks what the attempt before it wrote, with one note, and the list has another ETag", async () => {
    const { database, depsFor, submit, run, skipBackoff, promptRow } = fixture();
    const ids = await submit();
    await cutShort(ids);
    await skipBackoff(ids.promptId);
    const before = await listMessages(database.orm, wanted(ids.promptId), null);
    await beginInVain(ids.promptId);
    const after = await listMessages(database.orm, wanted(ids.promptId), before.etag);
    expect([after.etag === before.etag, after.page]).toEqual([false, expect.anything()]);
    await run(ids.promptId, depsFor(WHOLE));
    expect(await shown(ids.promptId)).toEqual([
      ["begun", 1, true],
      [CUT_SHORT, 2, false],
      ["anew", 2, false],
    ]);
    expect(await promptRow(ids.promptId)).toMatchObject({ status: "Completed", redone: 1 });
    expect(await turns(ids.sessionId, ids.promptId)).toHaveLength(1);
  });

  test("after a restart that is begun twice, has one note", async () => {
    const { depsFor, submit, run, detachAfter, killAgent, promptRow } = fixture();
    const { sessionId, promptId } = await submit();
    await detachAfter(promptId, depsFor(shellAgent(HALF_DONE)), "begun");
    await killAgent(sessionId);
    await beginInVain(promptId);
    await beginInVain(promptId);
    await run(promptId, depsFor(WHOLE));
    expect(await shown(promptId)).toEqual([
      ["begun", 1, true],
      [RESTARTED, 2, false],
      ["anew", 2, false],
    ]);
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed", redone: 1 });
  });

  test("after a handover marks what the stopped agent wrote", async () => {
    const { depsFor, submit, run, detachAfter } = fixture();
    const { promptId } = await submit();
    await detachAfter(promptId, depsFor(shellAgent(HALF_DONE), { handover: "stop" }), "begun");
    await run(promptId, depsFor(WHOLE));
    expect(await shown(promptId)).toEqual([
      ["begun", 1, true],
      [CUT_SHORT, 2, false],
      ["anew", 2, false],
    ]);
  });

  test("after it was revived marks what it wrote before, and the conversation has its last turn alone", async () => {
    const { database, depsFor, submit, run, promptRow } = fixture();
    const { orm } = database;
    const ids = await submit();
    await orm
      .update(prompt)
      .set({ attempt: MAX_ATTEMPTS - 1 })
      .where(eq(prompt.id, ids.promptId));
    await cutShort(ids);
    expect(await promptRow(ids.promptId)).toMatchObject({ status: "Failed" });
    const failed = await turns(ids.sessionId, ids.promptId);
    expect(failed).toMatchObject([{ content: expect.stringContaining("attempts failed") }]);
    await orm.transaction((tx) => revivePrompts(tx, [ids.promptId]));
    await beginInVain(ids.promptId);
    await run(ids.promptId, depsFor(WHOLE));
    expect(await shown(ids.promptId)).toEqual([
      ["begun", 1, true],
      [expect.stringContaining("attempts failed"), 1, true],
      [CUT_SHORT, 2, false],
      ["anew", 2, false],
    ]);
    const last = await turns(ids.sessionId, ids.promptId);
    expect(last).toMatchObject([{ content: expect.stringContaining("anew") }]);
    expect((await fixture().sessionRow(ids.sessionId))?.messages[0]).toMatchObject({ role: "user" });
  });

  test("says nothing if no agent has written anything before", async () => {
    const { database, depsFor, submit, claim, run, promptRow, skipBackoff } = fixture();
    const { promptId } = await submit();
    const writer = openRunWriter({ orm: database.orm, run: await claim(promptId), signal: never });
    await writer.append([textEvent("Waiting: no sandbox is available.")]);
    await writer.handOver();
    await skipBackoff(promptId);
    await run(promptId, depsFor(WHOLE));
    expect(await shown(promptId)).toEqual([
      ["Waiting: no sandbox is available.", 1, false],
      ["anew", 1, false],
    ]);
    expect(await promptRow(promptId)).toMatchObject({ redone: 0 });
  });

  test("is not one whose agent resumes in its checkout: nothing is superseded", async () => {
    const { depsFor, submit, run, detachAfter, killAgent, promptRow } = fixture();
    const { sessionId, promptId } = await submit();
    await detachAfter(promptId, depsFor(shellAgent(HALF_DONE)), "begun");
    await killAgent(sessionId);
    await run(promptId, depsFor(shellAgent("echo anew; cat half.txt", { hasTranscript: async () => true })));
    expect(await shown(promptId)).toEqual([
      ["begun", 1, false],
      ["The service was interrupted; the agent resumes its work.", 1, false],
      ["anew", 1, false],
    ]);
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed", redone: 0 });
  });
});
