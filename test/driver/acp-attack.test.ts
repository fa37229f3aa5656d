import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { SessionUpdate } from "@agentclientprotocol/sdk";
import { MIB } from "../../src/shared/units.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { CONVERSATION, openAcp, said } from "./acp-fixture.ts";
import type { Step } from "./scripted-agent.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

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
