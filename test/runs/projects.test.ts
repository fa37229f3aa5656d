import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eq, sql } from "drizzle-orm";
import type { AgentRequest } from "../../src/agents/agent.ts";
import { rowsOf } from "../../src/db/client.ts";
import { project } from "../../src/db/project-tables.ts";
import { writePrivate } from "../../src/runs/private-files.ts";
import { describeRuns, shellAgent } from "./fixture.ts";
import { projectsOf, VALUE } from "./project-fixture.ts";

const SPOILED = Buffer.from(`user:${VALUE}`).toString("base64");

describeRuns("the project of a run's repository", (fixture) => {
  const { projectOf, depsFor, setProject, updateOwn, runWith } = projectsOf(fixture);

  test("its variables and secrets are the agent's; what the agent prints of them is replaced, everywhere", async () => {
    const { id } = await setProject({ environment: { PLAIN: "a plain value" } });
    const { row, texts } = await runWith(
      `echo "plain is $PLAIN"; echo "token is $TOKEN"; printf 'user:%s' "$TOKEN" | base64
      printf '{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"It is %s"}]}}\\n' "$TOKEN"
      echo "$TOKEN" > "$AGENT_STATE_DIR/kept.txt"; printf %s "$TOKEN" | sha256sum; echo "$TOKEN" >&2; exit 3`,
    );
    expect(texts).toContain("plain is a plain value");
    expect(texts).toContain("token is [secret TOKEN]");
    expect(texts).toContain("It is [secret TOKEN]");
    expect(texts.join("\n")).toContain(new Bun.CryptoHasher("sha256").update(VALUE).digest("hex"));
    expect(row).toMatchObject({ status: "Failed", projectId: id, projectVersion: 1 });
    expect(row?.error).toContain("[secret TOKEN]");
    const { orm } = fixture().database;
    const tables = await rowsOf<{ name: string }>(
      orm,
      sql`select table_name as name from information_schema.tables where table_schema = current_schema()`,
    );
    for (const { name } of tables) {
      const rows = JSON.stringify(
        await rowsOf(orm, sql`select t::text as row from ${sql.identifier(name)} t`),
      );
      for (const form of [VALUE, SPOILED]) expect([name, rows.includes(form)]).toEqual([name, false]);
    }
    const kept = join(fixture().machine.dataDir, "conversations");
    const found = await Bun.$`grep -rlF ${VALUE} ${kept}`.nothrow().text();
    expect(found).toBe("");
    expect(await Bun.$`grep -rlF ${"[secret TOKEN]"} ${kept}`.nothrow().text()).toContain("kept.txt");
  });

  test("its instructions come first, and its MCP servers have their secrets", async () => {
    await setProject({
      instructions: "Be nice.",
      mcpServers: {
        docs: { type: "http", url: "https://x", headers: { A: "Bearer $" + "{TOKEN}", B: "$" + "{HOME}" } },
      },
    });
    const agent = shellAgent("true");
    let asked: AgentRequest | undefined;
    const { promptId } = await fixture().submit();
    const command = (request: AgentRequest) => {
      asked = request;
      return agent.command(request);
    };
    const spied = { ...agent, command };
    await fixture().run(promptId, depsFor(spied));
    expect(asked?.instructions).toStartWith("Be nice.");
    expect(asked?.mcpServers).toEqual({
      docs: { type: "http", url: "https://x", headers: { A: `Bearer ${VALUE}`, B: "$" + "{HOME}" } },
    });
  });

  test("a program of the operator's has its instructions and its MCP servers, too", async () => {
    const env = { T: "$" + "{TOKEN}" };
    await setProject({ instructions: "Be nice.", mcpServers: { docs: { command: "docs", env } } });
    const { texts, row } = await runWith('echo "$AGENT_INSTRUCTIONS"; cat "$AGENT_PROJECT_MCP_CONFIG"');
    expect(row).toMatchObject({ status: "Completed" });
    expect(texts).toContain("Be nice.");
    expect(texts).toContain('{"mcpServers":{"docs":{"env":{"T":"[secret TOKEN]"},"command":"docs"}}}');
    // With its secrets, it is not kept.
    const kept = join(fixture().machine.dataDir, "conversations");
    expect(await Bun.$`grep -rl mcpServers ${kept}`.nothrow().text()).toBe("");
  });

  test("a file with secrets is the agent's alone, and is written over nothing that an agent left there", async () => {
    await setProject({});
    const agent = shellAgent(
      'stat -c "mode %a" "$AGENT_STATE_DIR/own.json"; cat "$AGENT_STATE_DIR/own.json"',
    );
    const files = [{ name: "own.json", text: VALUE }];
    const { promptId } = await fixture().submit();
    const command = (request: AgentRequest) => ({ ...agent.command(request), files });
    await fixture().run(promptId, depsFor({ ...agent, keeps: () => false, command }));
    expect(await fixture().textsOf(promptId)).toEqual(expect.arrayContaining(["mode 600", "[secret TOKEN]"]));
    const folder = await mkdtemp(join(tmpdir(), "pb-private-"));
    await symlink(join(folder, "elsewhere"), join(folder, "own.json"));
    await expect(writePrivate(folder, { name: "own.json", text: VALUE })).rejects.toThrow("EEXIST");
    expect(await readdir(folder)).toEqual(["own.json"]);
    await rm(folder, { recursive: true });
  });

  test("it is taken as it is when the run starts", async () => {
    const { id } = await setProject({});
    const { promptId } = await fixture().submit();
    const { orm } = fixture().database;
    await updateOwn(id, { environment: { WORD: "late" } });
    await fixture().run(promptId, depsFor(shellAgent("echo word $WORD")));
    expect(await fixture().textsOf(promptId)).toContain("word late");
    expect((await fixture().promptRow(promptId))?.projectVersion).toBe(2);
    await orm.delete(project).where(eq(project.id, id));
    const { row } = await runWith("true");
    expect(row).toMatchObject({ status: "Completed", projectId: null, projectVersion: null });
  });

  test("without the key the run fails at once, and its user reads what is missing", async () => {
    await setProject({});
    const { row, texts } = await runWith("echo begun", { projectOf: projectOf({ secretsKeys: [] }) });
    expect(row).toMatchObject({ status: "Failed", errorKind: "configuration" });
    expect(row?.error).toContain("SECRETS_KEY");
    expect(texts).not.toContain("begun");
  });

  test("its setup command runs first, with its variables, in the checkout; its output is shown", async () => {
    await setProject({ setupCommand: "echo setting up with $TOKEN; pwd > made-by-setup; echo oops >&2" });
    const { row, texts } = await runWith("cat made-by-setup; echo worked");
    expect(row?.status).toBe("Completed");
    const text = texts.join("\n");
    expect(text).toContain("Running the project's setup command");
    expect(text).toContain("setting up with [secret TOKEN]");
    expect(text).toContain("oops");
    expect(texts.indexOf("worked")).toBeGreaterThan(texts.indexOf("oops"));
  });

  test("a setup command that fails ends the run with its last lines", async () => {
    await setProject({ setupCommand: 'echo one; echo "no $TOKEN here"; exit 4' });
    const { row, texts } = await runWith("echo worked");
    expect(row).toMatchObject({ status: "Failed", errorKind: "configuration", attempt: 1 });
    expect(row?.error).toContain(
      "setup command failed: exit code 4. Its last lines:\none\nno [secret TOKEN] here",
    );
    expect(texts).not.toContain("worked");
  });

  test("a setup command is limited like an agent, and is cancelled with its run", async () => {
    await setProject({ setupCommand: "echo waiting; sleep 600" });
    const limits = { ...fixture().depsFor(shellAgent("true")).limits, timeoutMs: 1_000 };
    const { row } = await runWith("echo worked", { limits });
    expect(row).toMatchObject({ status: "Failed", errorKind: "limit" });
    const { promptId, sessionId } = await fixture().submit();
    const running = fixture().run(promptId, depsFor(shellAgent("echo worked")));
    await fixture().waitForText(promptId, "waiting");
    await fixture().cancel(sessionId, promptId);
    await running;
    expect((await fixture().promptRow(promptId))?.status).toBe("Cancelled");
    expect(await fixture().textsOf(promptId)).not.toContain("worked");
  });

  test("its hosts may be reached besides the operator's, and nothing private", async () => {
    await setProject({ egressHosts: ["10.255.255.1:9", "example.invalid"] });
    const ask = (target: string) =>
      `curl -s -m 10 -o /dev/null -p -x "$HTTPS_PROXY" http://${target}/ || true`;
    const { texts } = await runWith(
      [ask("10.255.255.1:9"), ask("example.invalid:443"), ask("other.invalid:443")].join("\n"),
      {
        egress: { mode: "list", allow: [] },
      },
    );
    const refused = texts.filter((text) => text.startsWith("refused: ")).join("\n");
    expect(refused).toContain("refused: 10.255.255.1:9; it has no public address");
    expect(refused).toContain("example.invalid:443; the name does not resolve");
    expect(refused).toContain("other.invalid:443; allow it with");
  });
});
