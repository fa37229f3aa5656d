import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createDemoAgent } from "../../src/agents/demo.ts";
import { runDemoAgent } from "../../src/agents/demo-main.ts";
import { isRenderable } from "../../src/agents/events.ts";
import { openAgentFixture, textOf } from "./fixture.ts";

async function runDemo(fixture: Awaited<ReturnType<typeof openAgentFixture>>, prompt: string) {
  const lines: string[] = [];
  const code = await runDemoAgent({
    stdin: (async function* () {
      yield Buffer.from(prompt);
    })(),
    stdout: {
      write(text, done) {
        lines.push(text);
        done();
      },
    },
    cwd: fixture.paths.checkout,
    env: { PATH: process.env["PATH"], HOME: fixture.paths.home },
  });
  const reader = createDemoAgent().reader();
  const events = lines.map((line) => reader.read(line.trimEnd())).filter((one) => typeof one === "object");
  return { code, events, verdict: reader.verdict({ code, signal: null, stderr: "" }) };
}

describe("the demo", () => {
  test("commits any prompt, and says that it is a demo", async () => {
    await using fixture = await openAgentFixture();
    await fixture.git("config", "commit.gpgsign", "true");
    await Bun.write(join(fixture.paths.checkout, ".gitignore"), "*.md\n");
    const { code, events, verdict } = await runDemo(fixture, 'Add a `README`\n$(touch x) -- "quoted"\n');
    expect(code).toBe(0);
    expect(verdict).toMatchObject({ ok: true, summary: expect.stringContaining("PROMPTS.md") });
    expect(await fixture.git("log", "-1", "--format=%an %s")).toBe(
      "prompt-backend demo Add a prompt to PROMPTS.md",
    );
    expect(await fixture.git("show", "HEAD:PROMPTS.md")).toContain(
      '> Add a `README`\n> $(touch x) -- "quoted"',
    );
    expect(textOf(events)).toMatch(/built-in demo[\s\S]*ANTHROPIC_API_KEY/);
    for (const event of events) expect(isRenderable(event)).toBe(true);
    const [use, result] = ["tool_use", "tool_result"].map((type) =>
      events
        .map((one) => (one["message"] as { content?: { type: string }[] } | undefined)?.content?.[0])
        .find((one) => one?.type === type),
    );
    expect(result).toMatchObject({ tool_use_id: (use as unknown as { id: string }).id, is_error: false });
  });

  test("keeps earlier prompts, and leaves other changes alone", async () => {
    await using fixture = await openAgentFixture();
    await runDemo(fixture, "one");
    await Bun.write(join(fixture.paths.checkout, "README.md"), "changed");
    await runDemo(fixture, "two");
    const text = await fixture.git("show", "HEAD:PROMPTS.md");
    expect(text).toMatch(/> one\n\n## [\s\S]*> two/);
    expect(await fixture.git("status", "--porcelain")).toBe("M README.md");
  });

  test("does not write through a link of the repository, and fails with a reason", async () => {
    await using fixture = await openAgentFixture();
    const outside = join(fixture.paths.home, "outside");
    await Bun.write(outside, "");
    await symlink(outside, join(fixture.paths.checkout, "PROMPTS.md"));
    const { code, verdict } = await runDemo(fixture, "x");
    expect(code).toBe(1);
    expect(verdict).toMatchObject({ ok: false, reason: expect.stringContaining("could not commit") });
    expect(await Bun.file(outside).text()).toBe("");
  });

  test("runs as this program, without access to DATA_DIR", () => {
    const paths = { checkout: "/w", home: "/h", tmp: "/t", state: "/s" };
    const command = createDemoAgent().command({ prompt: "p", conversationId: "c", resume: false, paths });
    const project = resolve(import.meta.dir, "../..");
    expect(command.argv[0]).toBe(process.execPath);
    expect(command.argv.slice(-2)).toEqual([join(project, "src/main.ts"), "demo-agent"]);
    expect(command.stdin).toBe("p");
    expect(command.readable).toContain(join(project, "node_modules"));
    expect(command.readable).not.toContain(project);
    for (const path of command.readable) expect([path, existsSync(path)]).toEqual([path, true]);
  });
});
