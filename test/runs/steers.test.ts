import { expect, test } from "bun:test";
import { asc, sql } from "drizzle-orm";
import { message } from "../../src/db/tables.ts";
import { describeRuns, shellAgent } from "./fixture.ts";
import { talkOf, wait } from "./talk-fixture.ts";

describeRuns("what is said to an agent while it works", (fixture) => {
  const { say, promptsOf, steersOf, conversation, startOf } = talkOf(fixture);

  test("a message reaches the agent that works, and is a turn of the conversation once it has it", async () => {
    const script = `echo begun; ${wait("steer-*.json")};
      id=$(cat "$AGENT_MAILBOX"/steer-*.json | sed 's/.*"id":"\\([^"]*\\)".*/\\1/');
      echo '{"type":"user","steer_id":"'$id'","message":{"role":"user","content":[{"type":"text","text":"not the words"}]}}'
      echo '{"type":"user","steer_id":"'$id'","message":{"role":"user","content":[{"type":"text","text":"not the words"}]}}'`;
    const { promptId, sessionId, running } = await startOf(script);
    await fixture().waitForText(promptId, "begun");
    expect(await say(promptId, "Also the tests")).toMatchObject({ delivered: "running", promptId });
    expect(await conversation(sessionId)).toEqual(["user: Do it"]);
    await running;
    expect((await conversation(sessionId))?.slice(0, 2)).toEqual(["user: Do it", "user: Also the tests"]);
    expect(await steersOf(promptId)).toMatchObject([{ status: "delivered", queuedPromptId: null }]);
    expect(await promptsOf(sessionId)).toHaveLength(1);
    const events = await fixture()
      .database.orm.select({ data: message.data })
      .from(message)
      .where(sql`${message.promptId} = ${promptId} and ${message.data} ->> 'type' = 'user'`)
      .orderBy(asc(message.seq));
    const told = (text: string, more = {}) => ({
      ...{ type: "user", message: { role: "user", content: [{ type: "text", text }] } },
      ...{ uuid: expect.any(String), ...more },
    });
    const [{ id = "" } = {}] = await steersOf(promptId);
    expect(events.map(({ data }) => data)).toEqual([
      told("Also the tests", { steer_id: id }),
      told("not the words"),
    ]);
  });

  test("what the agent has not taken is the next prompt, once, in order", async () => {
    const script = `echo begun; until [ -e go ]; do sleep 0.05; done; if [ -e fail ]; then exit 3; fi`;
    for (const files of ["go", "fail go"]) {
      const { machine, sessionRow, waitForText } = fixture();
      const { promptId, sessionId, running } = await startOf(script);
      await waitForText(promptId, "begun");
      await say(promptId, "One");
      await say(promptId, "Two");
      const id = (await sessionRow(sessionId))?.sbxConfig?.id ?? "";
      for (const file of files.split(" "))
        await Bun.write(`${machine.dataDir}/sandboxes/${id}/disk/checkout/${file}`, "");
      await running;
      const all = await promptsOf(sessionId);
      expect(all.map(({ status }) => status)).toEqual([files === "go" ? "Completed" : "Failed", "Queued"]);
      expect(all[1]?.data).toEqual([
        { content: "One", type: "text" },
        { content: "Two", type: "text" },
      ]);
      const next = { status: "queued", queuedPromptId: all[1]?.id };
      expect(await steersOf(promptId)).toMatchObject([next, next]);
      expect((await conversation(sessionId))?.filter((turn) => turn.startsWith("user"))).toEqual([
        "user: Do it",
        "user: One\n\nTwo",
      ]);
      expect(await sessionRow(sessionId)).toMatchObject({ inboxStatus: "Pending" });
    }
  });

  test("a message to an agent that takes none, or to a prompt that does not run, is queued at once", async () => {
    const { submit, depsFor, run, waitForText, machine, sessionRow } = fixture();
    const { promptId, sessionId } = await submit();
    const before = await say(promptId, "Before");
    expect(before.delivered).toBe("queued");
    const running = run(promptId, depsFor(shellAgent("echo begun; until [ -e go ]; do sleep 0.05; done")));
    await waitForText(promptId, "begun");
    const during = await say(promptId, "During");
    expect(during.delivered).toBe("queued");
    const id = (await sessionRow(sessionId))?.sbxConfig?.id ?? "";
    await Bun.write(`${machine.dataDir}/sandboxes/${id}/disk/checkout/go`, "");
    await running;
    const after = await say(promptId, "After");
    expect((await promptsOf(sessionId)).slice(1)).toMatchObject(
      [before, during, after].map((one) => ({ id: one.promptId, status: "Queued" })),
    );
    await expect(say(crypto.randomUUID(), "Nobody")).rejects.toMatchObject({ code: "prompt_not_found" });
  });
});
