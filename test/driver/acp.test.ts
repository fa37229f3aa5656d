import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { blocks, CONVERSATION, call, META, openAcp, said } from "./acp-fixture.ts";
import type { Step } from "./scripted-agent.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

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
