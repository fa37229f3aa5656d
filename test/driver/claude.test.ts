import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import type { AgentRequest } from "../../src/agents/agent.ts";
import { createClaudeAgent } from "../../src/agents/claude.ts";
import { textOf } from "../agents/fixture.ts";
import { claudeProgram } from "../harness/claude-code.ts";
import {
  type ModelScript,
  messagesText,
  repliesInTurn,
  type ScriptedBlock,
  startScriptedModel,
} from "../harness/scripted-model.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { answersIn, openDriverFixture, question } from "./fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const done: ScriptedBlock[] = [{ type: "text", text: "done." }];
const bash = (command: string): ScriptedBlock[] => [
  { type: "tool_use", name: "Bash", input: { command, description: "a test" } },
];

const program = await claudeProgram();
const missing = typeof program === "string" ? undefined : program.missing;
if (missing) console.warn(`the real Claude Code is not tested: ${missing}`);

async function openClaude(script: ModelScript) {
  const path = typeof program === "string" ? program : "";
  const fixture = await openDriverFixture();
  const model = startScriptedModel({ script });
  const agent = createClaudeAgent({ program: () => ({ path, readable: [path] }), missing: "missing" });
  return {
    ...fixture,
    model,
    start: (request: Partial<AgentRequest> = {}) =>
      fixture.talk(
        agent,
        agent.command({
          prompt: "Do it.",
          conversationId: crypto.randomUUID(),
          resume: false,
          paths: fixture.paths,
          mailbox: fixture.mailbox,
          model: { baseUrl: model.url, token: "token" },
          ...request,
        }),
      ),
    async [Symbol.asyncDispose]() {
      await model.stop();
      await fixture[Symbol.asyncDispose]();
    },
  };
}

describe.skipIf(missing !== undefined)("the real Claude Code in ask mode", () => {
  test("asks before it writes; what is allowed happens", async () => {
    await using claude = await openClaude(repliesInTurn(bash("touch new.txt"), done));
    const talk = claude.start({ mode: "ask" });
    const asked = await question(talk);
    expect(asked).toMatchObject({ tool: "Bash", input: { command: "touch new.txt" }, title: "a test" });
    expect(await claude.git("status", "--porcelain")).toBe("");
    await claude.answer(asked.request_id, "allow");
    const { verdict, events } = await talk.end();
    expect(verdict).toMatchObject({ ok: true, summary: "done." });
    expect(answersIn(events)).toEqual(["allow"]);
    expect(await claude.git("status", "--porcelain")).toBe("?? new.txt");
  });

  test("is told why something is denied, and goes on", async () => {
    await using claude = await openClaude(repliesInTurn(bash("touch new.txt"), done));
    const talk = claude.start({ mode: "ask" });
    await claude.answer((await question(talk)).request_id, "deny", "Not on a Friday.");
    const { verdict, events } = await talk.end();
    expect(verdict.ok).toBe(true);
    expect(answersIn(events)).toEqual(["deny Not on a Friday."]);
    expect(claude.model.requests[1] && messagesText(claude.model.requests[1])).toContain("Not on a Friday.");
    expect(await claude.git("status", "--porcelain")).toBe("");
  });

  test("does not ask again for a tool that is allowed for the run", async () => {
    await using claude = await openClaude(repliesInTurn(bash("touch a"), bash("touch b"), done));
    const talk = claude.start({ mode: "ask" });
    await claude.answer((await question(talk)).request_id, "allow_run");
    const { events } = await talk.end();
    expect(answersIn(events)).toEqual(["allow_run", "allow_run"]);
    expect(events.filter((one) => one["subtype"] === "permission_request")).toHaveLength(1);
    expect(await claude.git("status", "--porcelain")).toBe("?? a\n?? b");
  });
});

describe.skipIf(missing !== undefined)("a message while the real Claude Code works", () => {
  test("is folded into the running turn, and printed when it is taken", async () => {
    await using claude = await openClaude((request) =>
      messagesText(request).includes("And that.") ? done : bash("sleep 0.2"),
    );
    const talk = claude.start();
    await talk.event((one) => one.type === "assistant");
    await claude.steer("s1", "/Also this.");
    await claude.steer("s2", "And that.");
    const { verdict, events } = await talk.end();
    expect(verdict).toMatchObject({ ok: true, summary: "done." });
    expect(events.flatMap((one) => ("steer_id" in one ? [one["steer_id"]] : []))).toEqual(["s1", "s2"]);
    expect(events.filter((one) => one["subtype"] === "turn_result")).toEqual([]);
    expect(textOf(events)).toContain("/Also this.");
  });

  // The model answers the first request only after the message is there, and calls no tool.
  const late = async (replies: ModelScript) => {
    const put = { now: async (): Promise<unknown> => undefined };
    const claude = await openClaude(async (request, call) => {
      if (call === 0) await put.now();
      return replies(request, call);
    });
    put.now = () => claude.steer("s1", "One more thing.");
    return claude;
  };

  test("begins a turn of its own if it comes too late; the run has one result, with the tokens of both", async () => {
    await using claude = await late((_request, call) => [{ type: "text", text: `answer ${call}` }]);
    const { verdict, events, exit } = await claude.start().end();
    expect(verdict).toMatchObject({ ok: true, summary: "answer 1", usage: { input_tokens: 200, turns: 2 } });
    const kinds = events.map((one) => ("steer_id" in one ? "steer" : (one["subtype"] ?? one.type)));
    expect(kinds.filter((one) => /^(steer|turn_result|success)$/.test(String(one)))).toEqual([
      "turn_result",
      "steer",
      "success",
    ]);
    expect(exit.code).toBe(0);
  });

  test("does not keep a run open that fails", async () => {
    await using claude = await late(() => ({
      error: { status: 400, type: "invalid_request_error", message: "no" },
    }));
    const { verdict, exit } = await claude.start().end();
    expect(verdict).toMatchObject({ ok: false, modelFailed: true });
    expect(exit.code).toBe(1);
  });

  test("is not printed if it comes after the result", async () => {
    await using claude = await openClaude(() => done);
    const talk = claude.start();
    await talk.event((one) => one.type === "result");
    await claude.steer("s1", "Too late.");
    const { verdict, events } = await talk.end();
    expect(verdict.ok).toBe(true);
    expect(textOf(events)).not.toContain("Too late.");
  });
});

/** @param script of a program in Claude Code's place, in the shell's language. */
async function openProgram(script: string) {
  const fixture = await openDriverFixture();
  const path = join(fixture.paths.home, "claude");
  await Bun.write(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  const agent = createClaudeAgent({ program: () => ({ path, readable: [path] }), missing: "missing" });
  const request = { prompt: "Do it.", conversationId: crypto.randomUUID(), resume: false };
  const { paths, mailbox } = fixture;
  const model = { baseUrl: "http://127.0.0.1:1", token: "token" };
  return {
    ...fixture,
    start: (more: Partial<AgentRequest> = {}) =>
      fixture.talk(agent, agent.command({ ...request, paths, mailbox, model, ...more })),
  };
}

describe("a program in Claude Code's place", () => {
  const RESULT = '{"type":"result","subtype":"success","is_error":false,"result":"Fine.","num_turns":1}';

  /** Cause: the text of such an object is an exception, and the driver ended with it. */
  test("attack: objects where names belong do not end the driver", async () => {
    const odd = '{"toString":1,"valueOf":1}';
    const lines = [
      `{"type":${odd}}`,
      `{"type":"control_request","request_id":${odd},"request":{"subtype":${odd}}}`,
      `{"type":"control_request","request_id":"r","request":{"subtype":"can_use_tool","tool_name":${odd}}}`,
      `{"type":"control_cancel_request","request_id":${odd}}`,
      `{"type":"user","isReplay":true,"uuid":${odd}}`,
      RESULT,
    ];
    await using fixture = await openProgram(lines.map((line) => `echo '${line}'`).join("\n"));
    const { verdict } = await fixture.start({ mode: "ask" }).end();
    expect(verdict).toMatchObject({ ok: true, summary: "Fine." });
  });

  /** Cause: the id was answered as text, and a program that counts its requests waited for ever. */
  test("is answered by the id of its request, as that came", async () => {
    await using fixture = await openProgram(
      `read -r prompt
      echo '{"type":"control_request","request_id":7,"request":{"subtype":"can_use_tool","tool_name":"Bash","input":{}}}'
      read -r answer; case "$answer" in *'"request_id":7}'*) echo '${RESULT}';; esac`,
    );
    const talk = fixture.start({ mode: "ask" });
    await fixture.answer((await question(talk)).request_id, "allow");
    expect((await talk.end()).verdict).toMatchObject({ ok: true, summary: "Fine." });
  });
});

describe("a message that is in the mailbox before the agent has started", () => {
  const run = async (script: string) => {
    await using fixture = await openProgram(script);
    await fixture.steer("s1", "One more thing.");
    return await fixture.start().end();
  };
  const result = (text: string) => {
    const usage = { input_tokens: 7, output_tokens: 1 };
    return { type: "result", subtype: "success", is_error: false, result: text, num_turns: 2, usage };
  };

  /** Cause: the mailbox was opened before the prompt was sent: an agent that is started again has messages there. */
  test("comes after the prompt", async () => {
    const said = (text: string) => `echo '${JSON.stringify(result(text))}'`;
    const { events } = await run(
      `read -r first; case "$first" in *"Do it."*) ${said("right")};; *) ${said("wrong")};; esac; exit 3`,
    );
    expect(events.at(-1)).toMatchObject({ result: "right" });
  });

  /** Cause: the result was held back for the turn of the message, and lost with what the run had cost. */
  test("and is never taken does not take the program's last result with it", async () => {
    const { verdict, events } = await run(
      `read -r prompt; read -r message; echo '${JSON.stringify(result("Half."))}'; exit 3`,
    );
    expect(verdict).toMatchObject({ ok: false, usage: { input_tokens: 7, turns: 2 } });
    expect(events.map((one) => one["subtype"])).toEqual(["turn_result", "success"]);
  });
});

describe.skipIf(missing !== undefined)("the tools of the real Claude Code", () => {
  test("attack: cannot answer its questions through the pipes of its processes", async () => {
    const forge = `for p in $(ls /proc | grep -E '^[0-9]+$'); do
      cmd=$(tr '\\0' ' ' 2>/dev/null </proc/$p/cmdline); case "$cmd" in *stream-json*|*agent-driver*)
        for f in 0 1; do [ -S /proc/$p/fd/$f ] || continue; echo '{"forged":true}' 2>&1 >/proc/$p/fd/$f | grep -o 'No such device' ; done;;
      esac; done; true`;
    await using claude = await openClaude(repliesInTurn(bash(forge), done));
    const { events } = await claude.start().end();
    expect(textOf(events)).toContain("No such device");
    expect(JSON.stringify(events.map((one) => one["forged"]))).not.toContain("true");
  });
});
