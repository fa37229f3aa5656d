import { afterAll, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAgentCatalog } from "../../src/agents/catalog.ts";
import type { DeclaredAgent } from "../../src/agents/declared.ts";
import { Secret } from "../../src/shared/secret.ts";
import { NOTHING } from "./fixture.ts";

describe("the catalog of agents", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-catalog-"));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const program = async (name: string, script: string) => {
    const file = join(folder, name);
    await writeFile(file, `#!/bin/sh\n${script}\n`);
    await chmod(file, 0o755);
    return file;
  };
  const path = `${folder}:/usr/bin:/bin`;
  const key = new Secret("k");
  const of = (catalog: ReturnType<typeof createAgentCatalog>, name: string) =>
    catalog.list().find((one) => one.name === name);
  const codex: DeclaredAgent = {
    ...{ name: "codex", title: "Codex", command: ["codex-acp"], protocol: "acp", models: ["a"] },
    modelApi: "openai",
  };

  test("has all that the machine can run, and AGENT's choice as its default", async () => {
    const config = { ...NOTHING, path, agentCommand: ["sh", "x"] as const };
    const catalog = createAgentCatalog({ config, version: "1" });
    expect(catalog.list().slice(0, 3)).toMatchObject([
      { name: "demo", default: true, available: true, reason: null, version: "1", memory: "none" },
      { name: "claude", default: false, available: false, reason: expect.stringContaining("npm install") },
      { name: "command", default: false, available: true, title: "sh", memory: "files", modelApi: null },
    ]);
    expect(Object.fromEntries(catalog.list().map((one) => [one.name, one.maxTurns]))).toEqual({
      ...{ demo: true, claude: true, command: false },
      ...{ codex: true, gemini: true, opencode: true, "claude-acp": true },
    });
    expect(catalog.available()).toEqual(["command", "demo"]);
    expect(createAgentCatalog({ config: { ...config, agent: "command" } }).defaultName).toBe("command");
    expect(catalog.get("unheard-of")).toBeUndefined();
  });

  test("sees what is installed later, and says what else is missing, without paths", async () => {
    const claudePath = join(folder, "claude-later");
    const catalog = createAgentCatalog({ config: { ...NOTHING, path, claudePath } });
    expect(of(catalog, "claude")?.reason).not.toContain(folder);
    await program("claude-later", "echo 2.1.330 '(Claude Code)'");
    expect(of(catalog, "claude")).toMatchObject({
      ...{ available: false, reason: expect.stringContaining("ANTHROPIC_API_KEY") },
    });
    const keyed = createAgentCatalog({ config: { ...NOTHING, path, claudePath, anthropicApiKey: key } });
    expect(of(keyed, "claude")).toMatchObject({ default: true, available: true, version: null });
    await keyed.findVersions(new AbortController().signal);
    expect(of(keyed, "claude")).toMatchObject({ version: "2.1.330", memory: "transcript" });
  });

  test("takes declared agents, also in place of those that it knows by itself", () => {
    const catalog = createAgentCatalog({ config: { ...NOTHING, path, declaredAgents: [codex] } });
    expect(of(catalog, "codex")).toMatchObject({
      ...{ title: "Codex", available: false, models: ["a"], modelApi: "openai" },
      reason: expect.stringContaining("codex-acp"),
    });
    const names = catalog.list().map(({ name }) => name);
    expect(names.toSorted()).toEqual(["claude", "claude-acp", "codex", "demo", "gemini", "opencode"]);
  });

  /** Cause: the demo changed an empty folder beside the borrowed checkout, and the prompt ended well without any work. */
  test("agents with tools of their own are not available in borrowed sandboxes", () => {
    const config = { ...NOTHING, path, agentCommand: ["sh"] as const, sandboxProvider: "allocator" as const };
    const catalog = createAgentCatalog({ config });
    expect(catalog.available()).toEqual(["command"]);
    for (const name of ["demo", "codex"])
      expect(of(catalog, name)?.reason).toMatch(
        /borrowed ones \(SANDBOX_PROVIDER=allocator\): choose another/,
      );
    expect(of(catalog, "claude")?.reason).toMatch(/^Claude Code is not installed/);
  });

  test("what is missing is said in the same words by the catalog and by a run", () => {
    const catalog = createAgentCatalog({ config: { ...NOTHING, path: folder } });
    const paths = { checkout: "/w", home: "/h", tmp: "/t", state: "/s" };
    const request = { prompt: "p", conversationId: "c", resume: false, paths };
    for (const name of ["claude", "codex", "gemini"])
      expect(() => catalog.get(name)?.command(request)).toThrow(of(catalog, name)?.reason ?? "");
  });

  test("cleans and bounds what programs say of their version, and starts no launcher for it", async () => {
    const sayings: [string, string, string | null][] = [
      ["escapes", "printf '\\033]0;title\\007\\033[31mv 1.2\\033[0m.x\\n'", "1.2"],
      ["floods", "yes 'no number here' | tr -d '\\n'", "no number here".repeat(9).slice(0, 64)],
      ["silent", "exit 3", null],
      ["lingers", "sleep 600 & echo 7.8.9", "7.8.9"],
    ];
    for (const [name, script, version] of sayings) {
      const command: [string] = [await program(name, script)];
      const catalog = createAgentCatalog({
        config: { ...NOTHING, path, declaredAgents: [{ ...codex, command }] },
      });
      await catalog.findVersions(new AbortController().signal);
      expect([name, of(catalog, "codex")?.version]).toEqual([name, version]);
    }
    const launcher: [string, string] = ["sh", "agent.sh"];
    const catalog = createAgentCatalog({
      config: { ...NOTHING, path, declaredAgents: [{ ...codex, command: launcher }] },
    });
    await catalog.findVersions(new AbortController().signal);
    expect(of(catalog, "codex")?.version).toBeNull();
  });

  test("ends a program that does not say its version when the service ends", async () => {
    const command: [string] = [await program("sleeps", "sleep 600")];
    const catalog = createAgentCatalog({
      config: { ...NOTHING, path, declaredAgents: [{ ...codex, command }] },
    });
    const closed = new AbortController();
    const found = catalog.findVersions(closed.signal);
    closed.abort();
    await found;
    expect(of(catalog, "codex")?.version).toBeNull();
  });
});
