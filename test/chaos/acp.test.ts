import { expect, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startAcpClient } from "../harness/acp-client.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { acpAgent } from "./acp.ts";

// It read until the pipe was closed: each prompt of the mode daemon was Running for ever, with all but its last line stored.
test("a turn of the chaos agent ends with its job, though a daemon of that has its stdout open", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-chaos-acp-"));
  const [{ command }] = JSON.parse((await acpAgent(1))["AGENTS"] ?? "");
  const argv = [...command.slice(0, -1), 'read -r id _; sleep 600 & echo "daemon $!"; echo "$id 1 end"'];
  await using client = startAcpClient({ argv, cwd: folder, env: { ...process.env, XDG_DATA_HOME: folder } });
  await client.initialize();
  const { sessionId } = await client.request("session/new", { cwd: folder, mcpServers: [] });
  const text = "ada-1 1 0 daemon\nRemember word-ada-1.";
  const reply = await client.request("session/prompt", { sessionId, prompt: [{ type: "text", text }] });
  const said = client.updates.flatMap(
    ({ content }) => (content as { text?: string } | undefined)?.text ?? [],
  );
  const [, daemon] = /^daemon (\d+)$/.exec(said[0] ?? "") ?? [];
  process.kill(Number(daemon));
  expect(reply).toEqual({ stopReason: "end_turn" });
  expect(said).toEqual([`daemon ${daemon}`, "ada-1 1 end"]);
  await removeFolder(folder);
});
