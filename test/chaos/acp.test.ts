import { expect, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AcpClientOptions, startAcpClient } from "../harness/acp-client.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { acpAgent } from "./acp.ts";
import { openTraces } from "./agent.ts";

/** Has the agent do a job, with another script. @returns its reply, what it said after the number of its life, and its reports. */
async function turnOf(options: { script: string } & Pick<AcpClientOptions, "answer">) {
  const { script, ...others } = options;
  const folder = await mkdtemp(join(tmpdir(), "pb-chaos-acp-"));
  const traces = openTraces();
  const [{ command }] = JSON.parse((await acpAgent(1))["AGENTS"] ?? "");
  const url = `http://127.0.0.1:${traces.port}`;
  const argv = [...command.slice(0, -3), url, url, script];
  const env = { ...process.env, XDG_DATA_HOME: folder };
  await using client = startAcpClient({ argv, cwd: folder, env, ...others });
  await client.initialize();
  const { sessionId } = await client.request("session/new", { cwd: folder, mcpServers: [] });
  const text = "ada-1 1 0 daemon\nRemember word-ada-1.\n\nNote ada-7.";
  const reply = await client.request("session/prompt", { sessionId, prompt: [{ type: "text", text }] });
  const [life = "", ...said] = client.updates.flatMap(
    ({ content }) => (content as { text?: string } | undefined)?.text ?? [],
  );
  // The client reads to the end of what a daemon has open.
  const daemon = said.flatMap((one) => /^daemon (\d+)$/.exec(one)?.[1] ?? "")[0];
  if (daemon) process.kill(Number(daemon));
  await traces.stop();
  await removeFolder(folder);
  const told = traces.reports.map((one) => ({ ...one, life: `life ${one.life}` === life }));
  return { reply, daemon, said, told };
}

// It read until the pipe was closed: each prompt of the mode daemon was Running for ever, with all but its last line stored.
test("a turn of the chaos agent ends with its job, though a daemon of that has its stdout open", async () => {
  const { reply, daemon, said } = await turnOf({
    script: 'read -r id _; sleep 600 & echo "daemon $!"; echo "$id 1 end"',
  });
  expect(reply).toEqual({ stopReason: "end_turn" });
  expect(said).toEqual([`daemon ${daemon}`, "ada-1 1 end"]);
});

test("the chaos agent reports a note and the answer to its question, and does what it is allowed", async () => {
  const script = 'read -r id _; echo "$id 1 end"';
  const reports = (decision: string) => [
    { kind: "told", id: "ada-7", life: true, decision: "" },
    { kind: "answered", id: expect.stringMatching(/^ada-1\./), life: true, decision },
  ];
  expect(await turnOf({ script })).toMatchObject({ said: ["ada-1 1 end"], told: reports("allow") });
  const denied = await turnOf({ script, answer: () => "reject_once" });
  expect(denied).toMatchObject({ said: [], told: reports("deny") });
});
