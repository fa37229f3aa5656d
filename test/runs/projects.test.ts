import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { eq, sql } from "drizzle-orm";
import type { AgentRequest } from "../../src/agents/agent.ts";
import { readConfig } from "../../src/config/config.ts";
import { rowsOf } from "../../src/db/client.ts";
import { project, runSecret } from "../../src/db/project-tables.ts";
import { auditPending } from "../../src/db/safety-tables.ts";
import { openSecretKeys } from "../../src/projects/keys.ts";
import { openRunProjects } from "../../src/projects/run-project.ts";
import { purgeRunSecrets } from "../../src/projects/run-store.ts";
import { createProject, deleteProject, type ProjectChange, updateProject } from "../../src/projects/store.ts";
import { addPrompt } from "../../src/prompts/create-store.ts";
import { writePrivate } from "../../src/runs/private-files.ts";
import type { RunnerDeps } from "../../src/runs/runner.ts";
import { describeRuns, shellAgent } from "./fixture.ts";

const VALUE = "s3cr3t/value+of a token";
const SPOILED = Buffer.from(`user:${VALUE}`).toString("base64");

describeRuns("the project of a run's repository", (fixture) => {
  const configOf = () =>
    readConfig({
      DATA_DIR: fixture().machine.dataDir,
      AUTH_MODE: "none",
      LOCAL_REPOSITORIES: dirname(fixture().repository.path),
    });
  const depsFor = (
    agent: Parameters<ReturnType<typeof fixture>["depsFor"]>[0],
    more: Partial<RunnerDeps> = {},
  ) =>
    fixture().depsFor(agent, {
      projectOf: openRunProjects({ orm: fixture().database.orm, config: configOf() }),
      ...more,
    });
  /** In place of the one of the test before. */
  const setProject = async (change: ProjectChange, secrets: Record<string, string> = { TOKEN: VALUE }) => {
    const { orm } = fixture().database;
    const { path } = fixture().repository;
    await orm.delete(project).where(eq(project.userId, "alice"));
    const wanted = { userId: "alice", repo: path, repoKey: path, change, secrets };
    return orm.transaction((tx) => createProject(tx, openSecretKeys(configOf()), wanted));
  };
  const secretsTo = (id: string, secrets: Record<string, string | null>) =>
    updateProject(fixture().database.orm, openSecretKeys(configOf()), {
      ...{ userId: "alice", id, secrets, change: {} },
    });
  const followUp = (sessionId: string) =>
    fixture().database.orm.transaction((tx) =>
      addPrompt(tx, {
        ...{ userId: "alice", author: undefined, sessionId, data: "Go on", text: "Go on" },
        ...{ priority: 0, maxUnfinished: 1_000 },
      }),
    );
  const runWith = async (script: string, more: Partial<RunnerDeps> = {}) => {
    const { promptId, sessionId } = await fixture().submit();
    await fixture().run(promptId, depsFor(shellAgent(script), more));
    return {
      promptId,
      sessionId,
      texts: await fixture().textsOf(promptId),
      row: await fixture().promptRow(promptId),
    };
  };

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
    await updateProject(orm, openSecretKeys(configOf()), {
      ...{ userId: "alice", id, secrets: {}, change: { environment: { WORD: "late" } } },
    });
    await fixture().run(promptId, depsFor(shellAgent("echo word $WORD")));
    expect(await fixture().textsOf(promptId)).toContain("word late");
    expect((await fixture().promptRow(promptId))?.projectVersion).toBe(2);
    await orm.delete(project).where(eq(project.id, id));
    const { row } = await runWith("true");
    expect(row).toMatchObject({ status: "Completed", projectId: null, projectVersion: null });
  });

  test("an adopted agent's output has no secret either", async () => {
    await setProject({});
    const { promptId } = await fixture().submit();
    const { machine, detachAfter, run, textsOf } = fixture();
    const agent = () =>
      depsFor(shellAgent(`echo begun; until [ -e go ]; do sleep 0.1; done; echo "late $TOKEN"`));
    await detachAfter(promptId, agent(), "begun");
    const row = await fixture().promptRow(promptId);
    expect(row?.status).toBe("Running");
    const { sbxConfig } = (await fixture().sessionRow(row?.sessionId ?? "")) ?? {};
    await Bun.write(join(machine.dataDir, "sandboxes", sbxConfig?.id ?? "", "disk/checkout/go"), "");
    await run(promptId, agent());
    expect(await textsOf(promptId)).toContain("late [secret TOKEN]");
  });

  /** Starts an agent that waits for the file `go`, and leaves it alone. @returns lets it go on. */
  const begun = async (script: string) => {
    const { promptId } = await fixture().submit();
    const agent = () => depsFor(shellAgent(`echo begun; until [ -e go ]; do sleep 0.1; done; ${script}`));
    await fixture().detachAfter(promptId, agent(), "begun");
    const row = await fixture().promptRow(promptId);
    const { sbxConfig } = (await fixture().sessionRow(row?.sessionId ?? "")) ?? {};
    const checkout = join(fixture().machine.dataDir, "sandboxes", sbxConfig?.id ?? "", "disk/checkout");
    return { promptId, agent, go: () => Bun.write(join(checkout, "go"), "") };
  };
  const given = (promptId: string) =>
    fixture().database.orm.select().from(runSecret).where(eq(runSecret.promptId, promptId));
  const NEWER = "a-newer-value-of-the-token";

  for (const [what, change] of [
    ["changed", (id: string) => secretsTo(id, { TOKEN: NEWER })],
    ["taken away", (id: string) => secretsTo(id, { TOKEN: null })],
    [
      "deleted with its project",
      (id: string) => deleteProject(fixture().database.orm, { userId: "alice", id }),
    ],
  ] as const)
    test(`a secret that was ${what} while its agent runs is still replaced, and not pushed, when that is adopted`, async () => {
      const { id } = await setProject({});
      const { promptId, agent, go } = await begun('echo "late $TOKEN"; echo "$TOKEN" > leak.txt');
      await change(id);
      await go();
      await fixture().run(promptId, agent());
      expect(await fixture().textsOf(promptId)).toContain("late [secret TOKEN]");
      const row = await fixture().promptRow(promptId);
      expect(row?.error).toContain("TOKEN in leak.txt");
      expect(await objects()).not.toContain(VALUE);
      // Not for longer than its run.
      expect((await given(promptId)).length).toBeGreaterThan(0);
      await purgeRunSecrets(fixture().database.orm);
      expect(await given(promptId)).toEqual([]);
    });

  test("the work of an agent whose secrets cannot be opened any more does not leave its sandbox", async () => {
    await setProject({});
    const { promptId, agent, go } = await begun('echo "$TOKEN" > leak.txt');
    await go();
    const projectOf = openRunProjects({
      orm: fixture().database.orm,
      config: { ...configOf(), secretsKeys: [] },
    });
    await fixture().run(promptId, { ...agent(), projectOf });
    const row = await fixture().promptRow(promptId);
    expect(row).toMatchObject({ status: "Failed", errorKind: "configuration" });
    const { branch } = (await fixture().sessionRow(row?.sessionId ?? "")) ?? {};
    expect(await branchesOf(branch)).toBe("");
    expect(await objects()).not.toContain(VALUE);
  });

  test("without the key the run fails at once, and its user reads what is missing", async () => {
    await setProject({});
    const config = { ...configOf(), secretsKeys: [] };
    const projectOf = openRunProjects({ orm: fixture().database.orm, config });
    const { row, texts } = await runWith("echo begun", { projectOf });
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

  const GIT = "git -c user.name=A -c user.email=a@b";
  const SPOIL = `mkdir -p conf; echo "key: $TOKEN" > conf/app.yml; ${GIT} add -A; ${GIT} commit -qm "Uses $TOKEN"; echo fine > fine.txt`;
  const branchesOf = (branch: string | undefined) =>
    Bun.$`git -C ${fixture().repository.path} branch --list ${branch ?? ""}`.text();
  /** Of all stores of this machine, whether a ref leads to them or not. */
  const objects = async () => {
    const repos = join(fixture().machine.dataDir, "repos");
    const found = await Bun.$`find ${repos} -name objects -type d`.text();
    const all = found
      .split("\n")
      .filter(Boolean)
      .map((folder) => Bun.$`git --git-dir=${dirname(folder)} cat-file --batch-all-objects --batch`.text());
    return (await Promise.all(all)).join("\n");
  };

  test("commits with a secret in them are refused: nothing of them is in a store, and the session says what is where", async () => {
    await setProject({});
    const { sessionId, promptId, row } = await runWith(SPOIL);
    expect(row).toMatchObject({ status: "Failed", errorKind: "agent" });
    expect(row?.error).toContain("TOKEN in conf/app.yml");
    expect(row?.error).toContain("TOKEN in a commit message");
    expect(row?.error).toContain("Nothing of it was kept or pushed");
    expect((await fixture().textsOf(promptId)).join("\n")).toContain("The work was refused");
    const { orm } = fixture().database;
    const audited = () =>
      orm
        .select()
        .from(auditPending)
        .where(eq(auditPending.target, `prompt:${promptId}`));
    const refused = (await audited()).filter(({ action }) => action === "branch.refuse");
    expect(refused).toMatchObject([
      { actor: "alice", detail: { secrets: { TOKEN: ["a commit message", "conf/app.yml"] } } },
    ]);
    expect(JSON.stringify(refused)).not.toContain(VALUE);
    const { branch } = (await fixture().sessionRow(sessionId)) ?? {};
    expect(await branchesOf(branch)).toBe("");
    expect(await objects()).not.toContain(VALUE);
    expect(await Bun.$`find ${join(fixture().machine.dataDir, "repos")} -name ${"tmp_*"}`.text()).toBe("");
    // A later commit that takes it away does not help: history would have it.
    const { id } = await followUp(sessionId);
    await fixture().run(
      id,
      depsFor(shellAgent(`ls; ${SPOIL}; ${GIT} rm -qf conf/app.yml; ${GIT} commit -qm Gone`)),
    );
    expect((await fixture().textsOf(id)).join("\n")).not.toContain("fine.txt");
    expect((await fixture().promptRow(id))?.error).toContain("TOKEN in conf/app.yml");
    expect(await branchesOf(branch)).toBe("");
    expect(await objects()).not.toContain(VALUE);
    const again = await followUp(sessionId);
    await fixture().run(again.id, depsFor(shellAgent("echo fine > fine.txt")));
    expect((await fixture().promptRow(again.id))?.status).toBe("Completed");
    expect(await branchesOf(branch)).toContain(branch ?? "?");
    expect(await objects()).toContain("fine");
  });

  for (const message of [`Use it\n\n- with ${VALUE}`, `Use it\n\ndiff --git a/x b/x\n-${VALUE}`])
    test(`a line of a message is none of a diff: ${JSON.stringify(message)}`, async () => {
      await setProject({});
      const { row } = await runWith(`echo x > x; ${GIT} add -A; ${GIT} commit -qm '${message}'`);
      expect(row?.error).toContain("TOKEN in a commit message");
      expect(await objects()).not.toContain(VALUE);
    });

  test("a binary file that only a merge has is looked at, too", async () => {
    await setProject({});
    const { row } = await runWith(`set -e
      git checkout -q -b side; echo a > a; ${GIT} add -A; ${GIT} commit -qm A
      git checkout -q -; echo b > b; ${GIT} add -A; ${GIT} commit -qm B
      ${GIT} merge -q --no-commit side; printf 'x\\0%s' "$TOKEN" > c; ${GIT} add -A; ${GIT} commit -qm Merge`);
    expect(row?.error).toContain("TOKEN in c");
    expect(await objects()).not.toContain(VALUE);
  });

  test("whoever commits is looked at, too; what the repository has above a change is not", async () => {
    await setProject({});
    const { row } = await runWith(
      `echo x > x; ${GIT} add -A; GIT_COMMITTER_NAME="${VALUE}" ${GIT} commit -qm Adds`,
    );
    expect(row?.error).toContain("TOKEN in a commit message");
    const inSource = (...args: string[]) => Bun.$`git -C ${fixture().repository.path} ${args}`.quiet();
    await Bun.write(join(fixture().repository.path, "old.c"), `${VALUE}() {\n  1\n  2\n  3\n}\n`);
    await inSource("add", "-A");
    await inSource("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "Old");
    const change = await runWith(`sed -i 's/  3/  4/' old.c`);
    expect([change.row?.status, change.row?.error]).toEqual(["Completed", null]);
    await inSource("reset", "-q", "--hard", "HEAD~1");
  });

  test("work that was kept before its value became a secret is not pushed", async () => {
    await setProject({}, { OTHER: "another value" });
    const { promptId, sessionId } = await fixture().submit();
    const { branch = "" } = (await fixture().sessionRow(sessionId)) ?? {};
    const inSource = (...args: string[]) => Bun.$`git -C ${fixture().repository.path} ${args}`.text();
    await inSource("branch", branch, "main");
    await fixture().run(promptId, depsFor(shellAgent(`echo ${VALUE} > kept.txt`)));
    expect((await fixture().textsOf(promptId)).join("\n")).toContain("The work is kept");
    await inSource("branch", "-D", branch);
    await setProject({});
    const { id } = await followUp(sessionId);
    await fixture().run(id, depsFor(shellAgent("ls")));
    const said = (await fixture().textsOf(id)).join("\n");
    expect(said).toContain("kept.txt");
    expect(said).toContain("TOKEN in kept.txt), so that nothing of it was pushed");
    const audited = await fixture().database.orm.select().from(auditPending);
    expect(audited.find(({ detail }) => detail["prompt"] === id)).toMatchObject({
      ...{ action: "branch.keep", detail: { secrets: { TOKEN: ["kept.txt"] } } },
    });
    expect(await branchesOf(branch)).toBe("");
  });

  test("to take a secret out of what the target branch has is no leak", async () => {
    await setProject({}, { TOKEN: "# Test" });
    const { texts } = await runWith("echo nothing > README.md; ls > list.txt");
    expect(texts.join("\n")).not.toContain("secrets of the project");
  });
});
