import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { SessionUpdate } from "@agentclientprotocol/sdk";
import { createAcpAgent } from "../../src/agents/acp.ts";
import type { AgentCommand, AgentEvent, AgentRequest } from "../../src/agents/agent.ts";
import { MIB } from "../../src/shared/units.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { answersIn, openDriverFixture, question } from "./fixture.ts";
import type { AgentScript, Step } from "./scripted-agent.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const CONVERSATION = "3f0c7c1e-8a31-4b52-9a37-0d3a4f1f0a01";
const META = { mine: { strict: true } };
const said = (text: string, messageId?: string): Step => ({
  update: {
    sessionUpdate: "agent_message_chunk",
    content: { type: "text", text },
    ...(messageId && { messageId }),
  },
});
const call = (update: Record<string, unknown>, kind = "tool_call"): Step => ({
  update: { sessionUpdate: kind, toolCallId: "t1", ...update } as unknown as SessionUpdate,
});

async function openAcp(script: AgentScript) {
  const fixture = await openDriverFixture();
  const file = join(fixture.paths.tmp, "script.json");
  await Bun.write(file, JSON.stringify(script));
  const command = [process.execPath, join(import.meta.dir, "scripted-agent.ts"), file] as const;
  const declared = { name: "scripted", title: "Scripted", command, protocol: "acp", models: [] } as const;
  const agent = createAcpAgent({
    declared,
    program: () => ({ path: process.execPath, readable: [] }),
    missing: "missing",
    setup: { modes: { auto: ["free"], ask: ["careful"] }, meta: META },
  });
  const start = (request: Partial<AgentRequest> = {}) =>
    fixture.talk(
      agent,
      agent.command({
        ...{ prompt: "Do it.", conversationId: CONVERSATION, resume: false, paths: fixture.paths },
        mailbox: fixture.mailbox,
        ...request,
      }),
    );
  return {
    ...fixture,
    agent,
    start,
    run: (request: Partial<AgentRequest> = {}) => start(request).end(),
    /** Starts it with a stdout that nobody reads, and that takes no more than a pipe does. */
    startUnread: (command: AgentCommand) =>
      Bun.spawn(
        ["sh", "-c", 'mkfifo "$TMPDIR/out"; exec 9<>"$TMPDIR/out"; exec "$@" >&9', "sh", ...command.argv],
        {
          cwd: fixture.paths.checkout,
          env: { PATH: process.env["PATH"] ?? "", TMPDIR: fixture.paths.tmp, ...command.env },
          stdin: Buffer.from(command.stdin),
          stderr: "ignore",
        },
      ),
    /** What the agent was told, by kind. */
    told: (kind: string) =>
      (existsSync(`${file}.log`) ? readFileSync(`${file}.log`, "utf8") : "{}")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .flatMap((one) => (kind in one ? [one[kind]] : [])),
  };
}

/** Blocks of the messages, without ids. */
const blocks = (events: readonly AgentEvent[]) =>
  events.flatMap(
    (one) =>
      ((one["message"] as { content?: unknown[] } | undefined)?.content ?? []) as Record<string, unknown>[],
  );

describe("an agent of the Agent Client Protocol", () => {
  test("its updates become the events of Claude Code", async () => {
    const thought = { sessionUpdate: "agent_thought_chunk", content: { type: "text", text: "Hm." } } as const;
    await using acp = await openAcp({
      turns: [
        [
          { update: thought },
          said("I "),
          said("begin."),
          call({ title: "ls", kind: "execute", status: "pending", rawInput: {} }),
          call({ rawInput: { command: ["ls", "-l"] }, status: "in_progress" }, "tool_call_update"),
          call(
            {
              status: "completed",
              content: [{ type: "content", content: { type: "text", text: "README.md" } }],
            },
            "tool_call_update",
          ),
          call({
            ...{
              toolCallId: "t2",
              title: "Edit a",
              kind: "edit",
              status: "failed",
              locations: [{ path: "/a" }],
            },
            content: [{ type: "diff", path: "/a", oldText: "x\n", newText: "y\nz\n" }],
          }),
          {
            update: {
              sessionUpdate: "plan",
              entries: [{ content: "One", priority: "high", status: "pending" }],
            },
          },
          said("Done."),
        ],
      ],
    });
    const { verdict, events, exit } = await acp.run();
    expect(exit.code).toBe(0);
    expect(verdict).toEqual({
      ok: true,
      summary: "Done.",
      // Two rounds of tool calls, and the answer.
      usage: { turns: 3, input_tokens: 7, output_tokens: 3 },
    });
    expect(blocks(events)).toEqual([
      { type: "thinking", thinking: "Hm." },
      { type: "text", text: "I begin." },
      { type: "tool_use", id: "t1", name: "Bash", input: { command: "ls -l", description: "ls" } },
      { type: "tool_result", tool_use_id: "t1", content: "README.md", is_error: false },
      {
        type: "tool_use",
        id: "t2",
        name: "Edit",
        input: { file_path: "/a", old_string: "x\n", new_string: "y\nz\n" },
      },
      { type: "tool_result", tool_use_id: "t2", content: "/a\n-x\n+y\n+z", is_error: true },
      { type: "text", text: "Done." },
    ]);
    expect(events.find((one) => one["subtype"] === "plan")).toMatchObject({ entries: [{ content: "One" }] });
    expect(events.filter((one) => one["acp"]).at(-1)).toMatchObject({ acp: { locations: [{ path: "/a" }] } });
    expect(acp.told("initialize")).toMatchObject([{ fs: { readTextFile: false }, terminal: false }]);
  });

  test("gets its mode, its model and the MCP servers, and text that is no command of its own", async () => {
    const session = {
      modes: {
        currentModeId: "careful",
        availableModes: [
          { id: "careful", name: "" },
          { id: "free", name: "" },
        ],
      },
      configOptions: [
        {
          ...{ id: "m", name: "Model", category: "model", type: "select" as const, currentValue: "a" },
          options: [{ value: "x/big", name: "Big" }],
        },
      ],
    };
    await using acp = await openAcp({ session, turns: [[said("Yes.")]] });
    const mcpServers = { one: { command: "server", args: ["-a"], env: { A: "b" } } };
    const { events } = await acp.run({
      prompt: "/quit",
      modelName: "big",
      mcpServers,
      instructions: "Rule 17.",
    });
    expect(acp.told("mode")).toEqual(["free"]);
    expect(acp.told("option")).toMatchObject([{ configId: "m", value: "x/big" }]);
    const server = { name: "one", command: "server", args: ["-a"], env: [{ name: "A", value: "b" }] };
    expect(acp.told("new")).toMatchObject([{ cwd: acp.paths.checkout, mcpServers: [server] }]);
    const [prompt] = acp.told("prompt") as { text: string }[][];
    expect(prompt?.map((one) => one.text)).toEqual([expect.stringContaining("Rule 17."), " /quit"]);
    expect(events[0]).toMatchObject({ subtype: "init", model: "big" });
  });

  test("a model that it does not have is a failure, which names it", async () => {
    const configOptions = [
      {
        ...{ id: "m", name: "Model", category: "model", type: "select" as const, currentValue: "a" },
        options: [{ value: "a", name: "A" }],
      },
    ];
    await using acp = await openAcp({ session: { configOptions }, turns: [] });
    const { verdict, exit } = await acp.run({ modelName: "b" });
    expect(verdict).toMatchObject({ ok: false, reason: expect.stringContaining('no model "b"') });
    expect(exit.code).toBe(1);
  });

  test.each(["answer", "reject"] as const)(
    "is cancelled after as many rounds of tool calls as it may take, and it %ss the prompt",
    async (untilCancelled) => {
      const done = (toolCallId: string) => call({ toolCallId, status: "completed" }, "tool_call_update");
      const script: Step[] = [
        ...["t1", "t2"].map((toolCallId) => call({ toolCallId, rawInput: { n: 1 } })),
        ...[done("t2"), done("t1"), done("t1")],
        call({ toolCallId: "t3", rawInput: { n: 2 } }),
        done("t3"),
        { untilCancelled },
      ];
      await using acp = await openAcp({ turns: [script] });
      const { verdict, events, exit } = await acp.run({ maxTurns: 2 });
      expect(acp.told("cancel")).toEqual(["session-1"]);
      expect(exit.code).toBe(1);
      expect(verdict).toMatchObject({
        ...{ ok: false, reason: expect.stringContaining("limit of turns"), usage: { turns: 2 } },
      });
      expect(events.at(-1)).toMatchObject({
        ...{ type: "result", subtype: "error_max_turns", terminal_reason: "max_turns", num_turns: 2 },
      });
      expect(blocks(events).filter(({ type }) => type === "tool_result")).toHaveLength(3);
    },
  );

  // Each of its calls stayed open, so that no round was ever over.
  test.each([
    [
      "says something after each",
      2,
      (n: number) => [call({ toolCallId: `t${n}`, rawInput: { n } }), said("Hm.")],
    ],
    [
      "names its messages",
      2,
      (n: number) => [call({ toolCallId: `t${n}`, rawInput: { n } }), said(`${n}`, `message-${n}`)],
    ],
    ["has one id for all of them", 2, (n: number) => [call({ rawInput: { n } }), said("Hm.")]],
    ["says nothing", 64, (n: number) => [call({ toolCallId: `t${n}`, rawInput: { n } })]],
  ] as const)(
    "that reports no result of its calls and %s is held to its limit, too",
    async (_what, most, step) => {
      const steps = Array.from({ length: most + 1 }, (_, n) => step(n)).flat();
      await using acp = await openAcp({ turns: [[...steps, { untilCancelled: "answer" }]] });
      const { verdict } = await acp.run({ maxTurns: 2 });
      expect(acp.told("cancel")).toEqual(["session-1"]);
      expect(verdict).toMatchObject({ ok: false, reason: expect.stringContaining("limit of turns") });
    },
  );

  test("that goes on beside a call that runs for long is held to its limit, too; its late result is no round", async () => {
    const done = (toolCallId: string) => call({ toolCallId, status: "completed" }, "tool_call_update");
    const script: Step[] = [
      call({ toolCallId: "long", rawInput: { n: 1 } }),
      said("It runs."),
      call({ toolCallId: "short", rawInput: { n: 2 } }),
      ...[done("short"), done("long"), said("Done.")],
    ];
    await using acp = await openAcp({ turns: [script] });
    expect((await acp.run()).verdict).toMatchObject({ ok: true, usage: { turns: 3 } });
  });

  test("whose calls are of one message, with words between them, takes one round for them", async () => {
    const calls = (ids: string[], more: object = {}, kind = "tool_call") =>
      ids.map((toolCallId) => call({ toolCallId, ...more }, kind));
    const script: Step[] = [
      said("First", "m1"),
      ...calls(["t1"], { rawInput: { n: 1 } }),
      ...[said(" and then", "m1"), said("")],
      ...calls(["t2", "t3"], { rawInput: { n: 2 } }),
      ...calls(["t1", "t2", "t3"], { status: "completed" }, "tool_call_update"),
      said("Done.", "m2"),
    ];
    await using acp = await openAcp({ turns: [script] });
    expect(await acp.run({ maxTurns: 2 })).toMatchObject({ verdict: { ok: true, usage: { turns: 2 } } });
    expect(acp.told("cancel")).toEqual([]);
  });

  test("that needs no more turns than it may take is not cancelled", async () => {
    const script = [call({ status: "completed", rawInput: { n: 1 } }), said("Done.")];
    await using acp = await openAcp({ turns: [script] });
    expect(await acp.run({ maxTurns: 2 })).toMatchObject({ verdict: { ok: true, usage: { turns: 2 } } });
    expect(acp.told("cancel")).toEqual([]);
  });

  test("continues a conversation by its own id, and does not repeat what was said", async () => {
    const about = { agentCapabilities: { loadSession: true } };
    await using acp = await openAcp({ about, has: "session-1", turns: [[said("More.")]] });
    const { state } = acp.paths;
    expect(await acp.agent.hasTranscript(state, CONVERSATION)).toBe(false);
    await acp.run();
    expect(await acp.agent.hasTranscript(state, CONVERSATION)).toBe(true);
    const { verdict, events } = await acp.run({ resume: true });
    expect(verdict).toMatchObject({ ok: true, summary: "More." });
    expect(acp.told("load")).toEqual(["session-1"]);
    // Without them, the settings of the repository would hold in a continued conversation.
    expect(acp.told("new")).toMatchObject([{ _meta: META }]);
    expect(acp.told("loaded")).toMatchObject([{ _meta: META }]);
    expect(JSON.stringify(events)).not.toContain("said before");
    await acp.agent.discardTranscripts(state, CONVERSATION, "all");
    expect(await acp.agent.hasTranscript(state, CONVERSATION)).toBe(false);
  });

  test("is told instructions once in a conversation, and again when they have changed", async () => {
    const about = { agentCapabilities: { loadSession: true } };
    await using acp = await openAcp({ about, has: "session-1", turns: [[]] });
    for (const instructions of ["Rule 17.", "Rule 17.", "Rule 18."])
      await acp.run({ instructions, resume: acp.told("prompt").length > 0 });
    const told = (acp.told("prompt") as { text: string }[][]).map((one) => one.map(({ text }) => text));
    const ofRule = (rule: string) => expect.stringContaining(rule);
    expect(told).toEqual([[ofRule("Rule 17."), "Do it."], ["Do it."], [ofRule("Rule 18."), "Do it."]]);
  });

  test("gets the MCP servers that it can have, and its user reads which it cannot", async () => {
    const mcpServers = {
      ...{ one: { command: "server" }, two: { type: "http", url: "http://two" } },
      three: { type: "sse", url: "http://three" },
    };
    const about = { agentCapabilities: { mcpCapabilities: { http: true } } };
    await using acp = await openAcp({ about, turns: [[]] });
    const { events } = await acp.run({ mcpServers });
    const [given] = acp.told("new") as { mcpServers: { name: string }[] }[];
    expect(given?.mcpServers.map(({ name }) => name)).toEqual(["one", "two"]);
    expect(JSON.stringify(events)).toContain("cannot reach the project's MCP servers three by their URL");
    const silent = await acp.run({ mcpServers: { one: mcpServers.one } });
    expect(JSON.stringify(silent.events)).not.toContain("MCP servers");
  });

  test("says that a conversation is lost which it cannot continue", async () => {
    await using acp = await openAcp({ about: { agentCapabilities: { loadSession: true } }, turns: [[]] });
    await acp.run();
    expect((await acp.run({ resume: true })).verdict).toMatchObject({ ok: false, lostConversation: true });
  });

  test("sees images only if it can", async () => {
    const images = [{ mediaType: "image/png", data: "AAAA" }];
    const about = { agentCapabilities: { promptCapabilities: { image: true } } };
    await using seeing = await openAcp({ about, turns: [[]] });
    await seeing.run({ images });
    expect(seeing.told("prompt")).toMatchObject([
      [{ type: "text" }, { type: "image", mimeType: "image/png" }],
    ]);
    await using blind = await openAcp({ turns: [[]] });
    const { events } = await blind.run({ images });
    expect(blind.told("prompt")).toMatchObject([[{ type: "text" }]]);
    expect(events.map((one) => one["subtype"])).toContain("images_left_out");
  });

  const ends = [
    [{ stop: "max_tokens" }, "limit of tokens"],
    [{ stop: "max_turn_requests" }, "limit of turns"],
    [{ stop: "refusal" }, "refused"],
    [{ stop: "cancelled" }, "interrupted"],
    [{ fail: "401 wrong key" }, "401 wrong key"],
    [{ exit: 3 }, "exit code 3"],
    [{ exit: 0 }, "without a result"],
  ] satisfies [Step, string][];
  test.each(ends)("%j is a failure with a reason", async (step, reason) => {
    await using acp = await openAcp({ turns: [[said("Hm."), step]] });
    const { verdict } = await acp.run();
    expect(verdict).toMatchObject({ ok: false, reason: expect.stringContaining(reason), modelFailed: true });
  });
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

const permissionLine = () =>
  JSON.stringify({
    ...{ jsonrpc: "2.0", id: "q", method: "session/request_permission" },
    params: { sessionId: "s", toolCall: { toolCallId: "t" }, options: [] },
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

describe("attack: output of a hostile agent", () => {
  const update = (value: unknown): Step => ({ update: value as SessionUpdate });

  test("what is no message, or not of the protocol, is left out", async () => {
    const raw = [
      ...["plain text", "[1]", "{", "null", '{"jsonrpc":"2.0","method":"session/update","params":5}'],
      '{"jsonrpc":"2.0","method":"session/update","params":{"update":{"sessionUpdate":7}}}',
      '{"jsonrpc":"2.0","method":"session/update","params":{"update":{"sessionUpdate":"tool_call","toolCallId":{}}}}',
      '{"jsonrpc":"2.0","id":99,"result":{"usage":{"inputTokens":"x"}}}',
      '{"jsonrpc":"2.0","id":1,"method":"fs/read_text_file","params":{"path":"/etc/passwd"}}',
    ].join("\n");
    await using acp = await openAcp({ turns: [[{ raw: `${raw}\n` }, said("Fine.")]] });
    const { verdict, events } = await acp.run();
    expect(verdict).toMatchObject({ ok: true, summary: "Fine." });
    expect(JSON.stringify(events)).not.toContain("passwd");
  });

  /** Cause: each chunk was cleaned alone, and a character of two halves became two replacement characters. */
  test("a character that is split between two chunks stays one", async () => {
    const chunk = (text: string) => ({
      ...{ jsonrpc: "2.0", method: "session/update" },
      params: { update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text } } },
    });
    const [high, low] = "😀".split("");
    const raw = [`Yes ${high}`, `${low}`].map((text) => `${JSON.stringify(chunk(text))}\n`).join("");
    await using acp = await openAcp({ turns: [[{ raw }]] });
    expect((await acp.run()).verdict).toMatchObject({ ok: true, summary: "Yes 😀" });
  });

  test("huge and deep values are cut", async () => {
    const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
    const line = (value: string) =>
      `{"jsonrpc":"2.0","method":"session/update","params":{"update":{"sessionUpdate":"tool_call","toolCallId":"t","status":"completed","rawInput":{"a":${value}}}}}\n`;
    const content = [{ type: "content", content: { type: "text", text: "y".repeat(3_000_000) } }];
    await using acp = await openAcp({
      turns: [
        [
          { raw: line(deep) },
          { raw: line(JSON.stringify("x".repeat(3_000_000))) },
          update({ sessionUpdate: "tool_call", toolCallId: "u", title: "t", status: "completed", content }),
          { raw: `${"z".repeat(17 * 1024 * 1024)}\n` },
          said("Fine."),
        ],
      ],
    });
    const { verdict, events } = await acp.run();
    expect(verdict).toMatchObject({ ok: true, summary: "Fine." });
    expect(Math.max(...events.map((one) => JSON.stringify(one).length))).toBeLessThan(100_000);
    expect(events.map((one) => one["subtype"])).toContain("line_left_out");
  });

  test("a flood is read no faster than it is taken", async () => {
    const flood = {
      sessionUpdate: "tool_call",
      toolCallId: "t",
      title: "t".repeat(1_000),
      status: "completed",
    };
    await using acp = await openAcp({ turns: [[{ flood: flood as SessionUpdate, times: 200_000 }]] });
    const command = acp.agent.command({
      ...{ prompt: "p", conversationId: CONVERSATION, resume: false, paths: acp.paths },
    });
    // Nobody reads what the driver prints.
    const driver = acp.startUnread(command);
    const read = () => Number(/^rchar: (\d+)/.exec(readFileSync(`/proc/${driver.pid}/io`, "utf8"))?.[1]);
    let before = -1;
    await until(
      () => {
        const now = read();
        const stalled = acp.told("prompt").length > 0 && now === before;
        before = now;
        return stalled;
      },
      { what: "the driver reads nothing more", everyMs: 500, timeoutMs: 30_000 },
    );
    expect(before).toBeLessThan(100 * MIB);
    const memory =
      Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${driver.pid}/status`, "utf8"))?.[1]) * 1024;
    expect(memory).toBeLessThan(200 * MIB);
    driver.kill("SIGKILL");
    await driver.exited;
  });
});
