import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { blocks, openAcp, said } from "./acp-fixture.ts";
import { answersIn, question } from "./fixture.ts";
import type { Step } from "./scripted-agent.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const permissionLine = () =>
  JSON.stringify({
    ...{ jsonrpc: "2.0", id: "q", method: "session/request_permission" },
    params: { sessionId: "s", toolCall: { toolCallId: "t" }, options: [] },
  });

describe("its questions", () => {
  const ask: Step = {
    ask: { toolCallId: "t1", kind: "edit", title: "Write a", rawInput: { file_path: "/a" } },
  };

  test("are allowed at once in auto mode, for once", async () => {
    await using acp = await openAcp({ turns: [[ask]] });
    const { events } = await acp.run();
    expect(acp.told("outcome")).toEqual([{ outcome: "selected", optionId: "once" }]);
    expect(answersIn(events)).toEqual([]);
  });

  test("are asked in ask mode; allowed for the run means no more questions", async () => {
    await using acp = await openAcp({ turns: [[ask, ask, ask]] });
    const talk = acp.start({ mode: "ask" });
    const first = await question(talk);
    expect(first).toMatchObject({ tool: "Edit", input: { file_path: "/a" }, title: "Write a" });
    await acp.answer(first.request_id, "deny", "No.");
    await acp.answer((await question(talk, 1)).request_id, "allow_run");
    const { events } = await talk.end();
    expect(answersIn(events)).toEqual(["deny No.", "allow_run", "allow_run"]);
    expect(acp.told("outcome")).toMatchObject([
      { optionId: "no" },
      { optionId: "once" },
      { optionId: "once" },
    ]);
    expect(blocks(events)).toHaveLength(1);
  });

  test("the reason of a denial is the next turn, also if the denial has cancelled this one", async () => {
    for (const stop of ["end_turn", "cancelled"] as const) {
      await using acp = await openAcp({ turns: [[ask, { stop }], [said("Otherwise.")]] });
      const talk = acp.start({ mode: "ask" });
      await acp.answer((await question(talk)).request_id, "deny", "Use b.");
      expect((await talk.end()).verdict).toMatchObject({ ok: true, summary: "Otherwise." });
      expect(acp.told("prompt")[1]).toMatchObject([{ text: "The user did not allow Edit: Use b." }]);
    }
  });

  test("a denial without a reason is told only where it has cancelled the turn", async () => {
    for (const [stop, turns] of [
      ["end_turn", 1],
      ["cancelled", 2],
    ] as const) {
      await using acp = await openAcp({ turns: [[ask, { stop }], []] });
      const talk = acp.start({ mode: "ask" });
      await acp.answer((await question(talk)).request_id, "deny");
      expect((await talk.end()).verdict).toMatchObject({ ok: true });
      expect(acp.told("prompt")).toHaveLength(turns);
    }
  });

  test("that nothing can allow are cancelled", async () => {
    const options = [{ optionId: "no", name: "No", kind: "reject_once" as const }];
    await using acp = await openAcp({ turns: [[{ ...ask, options }]] });
    await acp.run();
    expect(acp.told("outcome")).toEqual([{ outcome: "cancelled" }]);
  });

  test("are cancelled if the agent ends", async () => {
    await using acp = await openAcp({
      turns: [[{ raw: "" }, { asks: 0 }, { raw: `${permissionLine()}\n` }, { exit: 1 }]],
    });
    const { events } = await acp.run({ mode: "ask" });
    expect(answersIn(events)).toEqual(["cancelled"]);
  });

  test("attack: more than 32 at once are denied", async () => {
    await using acp = await openAcp({ turns: [[{ asks: 40 }]] });
    const talk = acp.start({ mode: "ask" });
    for (let n = 0; n < 32; n++) await acp.answer((await question(talk, n)).request_id, "allow");
    const { events } = await talk.end();
    expect(answersIn(events).filter((one) => one.startsWith("deny There are 32"))).toHaveLength(8);
    expect(answersIn(events).filter((one) => one === "allow")).toHaveLength(32);
  });

  /** Cause: each denial was kept for the next turn, under the tool's whole name, however many there were. */
  test("attack: what the next turn is told of denials is bounded", async () => {
    const denied = Array.from(
      { length: 150 },
      (): Step => ({ ask: { toolCallId: "t1", title: "x".repeat(500) } }),
    );
    await using acp = await openAcp({ turns: [[...denied, { stop: "cancelled" }], []] });
    const talk = acp.start({ mode: "ask" });
    for (let n = 0; n < denied.length; n++) await acp.answer((await question(talk, n)).request_id, "deny");
    await talk.end();
    const [, next] = acp.told("prompt") as { text: string }[][];
    expect(next).toHaveLength(100);
  });

  /** Cause: the mode was left as it was, and the agent would have acted without asking. */
  test("an agent that has no mode in which it asks is not started", async () => {
    const modes = { currentModeId: "free", availableModes: [{ id: "free", name: "" }] };
    await using acp = await openAcp({ session: { modes }, turns: [[said("Done.")]] });
    const { verdict } = await acp.run({ mode: "ask" });
    expect(verdict).toMatchObject({
      ...{
        ok: false,
        reason: expect.stringContaining("none of the modes in which it asks (careful), only free"),
      },
    });
    expect(acp.told("prompt")).toEqual([]);
  });
});

describe("messages while it works", () => {
  test("are the next turn, all at once, in the same process", async () => {
    await using acp = await openAcp({ turns: [[{ asks: 1 }, said("First.")], [said("Second.")]] });
    const talk = acp.start({ mode: "ask" });
    const asked = await question(talk);
    await acp.steer("s1", "Also this.");
    await acp.steer("s2", "And that.");
    await acp.answer(asked.request_id, "allow");
    const { verdict, events } = await talk.end();
    expect(verdict).toMatchObject({ ok: true, summary: "Second.", usage: { turns: 3, input_tokens: 14 } });
    expect(events.flatMap((one) => ("steer_id" in one ? [one["steer_id"]] : []))).toEqual(["s1", "s2"]);
    expect(acp.told("prompt")).toMatchObject([[{}], [{ text: "Also this." }, { text: "And that." }]]);
  });

  const steerable = { _meta: { steering: { supported: true } } };

  test("go into the running turn of an agent that takes them there", async () => {
    await using acp = await openAcp({ about: steerable, turns: [[said("Be"), { asks: 1 }, said("Ended.")]] });
    const talk = acp.start({ mode: "ask" });
    const asked = await question(talk);
    await acp.steer("s1", "/also this");
    await talk.event((one) => "steer_id" in one);
    await acp.answer(asked.request_id, "allow");
    const { verdict } = await talk.end();
    expect(verdict).toMatchObject({ ok: true, usage: { turns: 2 } });
    expect(acp.told("steering")).toEqual([[{ type: "text", text: " /also this" }]]);
    expect(acp.told("prompt")).toHaveLength(1);
  });

  test("are the next turn if the running one cannot take them any more", async () => {
    const turns = [[{ asks: 1 }], [said("Second.")]];
    await using acp = await openAcp({ about: steerable, steering: "promptRequired", turns });
    const talk = acp.start({ mode: "ask" });
    const asked = await question(talk);
    await acp.steer("s1", "Also this.");
    await until(() => acp.told("steering").length === 1, { what: "the message at the agent" });
    await acp.answer(asked.request_id, "allow");
    const { events } = await talk.end();
    expect(events.flatMap((one) => ("steer_id" in one ? [one["steer_id"]] : []))).toEqual(["s1"]);
    expect(acp.told("prompt")).toMatchObject([[{}], [{ text: "Also this." }]]);
  });

  test("are not taken by an agent that has failed", async () => {
    await using acp = await openAcp({ turns: [[{ asks: 1 }, { stop: "refusal" }], [said("Second.")]] });
    const talk = acp.start({ mode: "ask" });
    const asked = await question(talk);
    await acp.steer("s1", "Also this.");
    await acp.answer(asked.request_id, "allow");
    const { events } = await talk.end();
    expect(events.some((one) => "steer_id" in one)).toBe(false);
  });

  test("attack: names, links, folders and sizes that are no messages are not read", async () => {
    await using acp = await openAcp({ turns: [[{ asks: 1 }], []] });
    const talk = acp.start({ mode: "ask" });
    const asked = await question(talk);
    const steer = { kind: "steer", id: "x", text: "Hostile." };
    await Bun.write(join(acp.mailbox, ".steer-1-a.json"), JSON.stringify(steer));
    await Bun.write(
      join(acp.mailbox, "steer-2-b.json"),
      JSON.stringify({ ...steer, more: "x".repeat(300_000) }),
    );
    await Bun.write(join(acp.mailbox, "steer-3-c.json"), "{");
    await mkdir(join(acp.mailbox, "steer-4-d.json"));
    await Bun.$`ln -s .steer-1-a.json steer-5-e.json && mkfifo steer-6-f.json`.cwd(acp.mailbox).quiet();
    await acp.answer(asked.request_id, "allow");
    const { verdict, events } = await talk.end();
    expect(verdict.ok).toBe(true);
    expect(JSON.stringify(events)).not.toContain("Hostile.");
  });
});
