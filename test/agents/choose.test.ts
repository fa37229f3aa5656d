import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdir, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { chooseAgent } from "../../src/agents/choose.ts";
import { findProgram } from "../../src/agents/find-program.ts";
import { Secret } from "../../src/shared/secret.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { NOTHING, openAgentFixture } from "./fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

describe("chooseAgent and findProgram", () => {
  test("without AGENT: Claude Code if its program and a key exist, else the demo, with the reason", async () => {
    await using fixture = await openAgentFixture();
    const claude = join(fixture.paths.home, "claude");
    await Bun.write(claude, "#!/bin/sh\n");
    const here = { ...NOTHING, path: `${fixture.paths.home}:/nowhere` };
    const demo = chooseAgent({ config: here });
    expect(demo.why).toMatch(/demo.*ANTHROPIC_API_KEY is not set and Claude Code was not/);
    expect(demo.whyDemo).toBe("ANTHROPIC_API_KEY is not set and Claude Code was not found");
    expect(chooseAgent({ config: { ...here, anthropicApiKey: new Secret("k") } }).why).toMatch(
      /demo.*\(Claude Code was not/,
    );
    await chmod(claude, 0o755);
    expect(chooseAgent({ config: here }).why).toMatch(/demo.*\(ANTHROPIC_API_KEY is not set\)/);
    const chosen = chooseAgent({ config: { ...here, anthropicApiKey: new Secret("k") } });
    expect([chosen.agent.name, chosen.missing]).toEqual(["claude", undefined]);
    expect(chosen.why).toContain(claude);
    expect(chosen.whyDemo).toBeNull();
    const wanted = chooseAgent({ config: { ...here, anthropicApiKey: new Secret("k"), agent: "demo" } });
    expect([wanted.agent.name, wanted.whyDemo]).toEqual(["demo", "AGENT=demo"]);
  });

  test("AGENT=claude is chosen even without its program, and reports what is missing", () => {
    const config = {
      ...NOTHING,
      agent: "claude" as const,
      anthropicApiKey: new Secret("k"),
      claudePath: "/opt/none/claude",
    };
    const { agent, missing } = chooseAgent({ config });
    expect(agent.name).toBe("claude");
    // Whoever sends a prompt reads it: the path is no affair of theirs.
    expect(missing).toBe("Claude Code is not installed where CLAUDE_PATH says.");
  });

  test("a program is found as a shell finds it; every link and the real file are readable, and nothing beside it", async () => {
    await using fixture = await openAgentFixture();
    const { home, tmp } = fixture.paths;
    await mkdir(join(home, "real"));
    await Bun.write(join(home, "real/tool"), "#!/bin/sh\n");
    await symlink("../home/real/tool", join(tmp, "middle"));
    await symlink(join(tmp, "middle"), join(tmp, "link"));
    expect(findProgram("link", tmp)).toBeUndefined();
    await chmod(join(home, "real/tool"), 0o755);
    expect(findProgram("link", `:/nowhere:${tmp}`)).toEqual({
      path: join(tmp, "link"),
      readable: [join(tmp, "link"), join(tmp, "middle"), join(home, "real/tool")],
    });
    expect(findProgram(join(tmp, "link"), "")?.path).toBe(join(tmp, "link"));
    for (const name of ["", "home", "/", home]) expect(findProgram(name, tmp)).toBeUndefined();
  });

  test("for a package's program its node_modules are readable; for any other only the file", async () => {
    await using fixture = await openAgentFixture();
    const file = join(fixture.paths.home, "lib/node_modules/@a/b/cli.js");
    await Bun.write(file, "#!/usr/bin/env node\n");
    await chmod(file, 0o755);
    const readable = findProgram(file, "")?.readable;
    expect(readable).toEqual([file, join(fixture.paths.home, "lib/node_modules")]);
    const own = join(homedir(), `agent-${crypto.randomUUID()}`);
    await Bun.write(own, "#!/bin/sh\n");
    try {
      await chmod(own, 0o755);
      expect(findProgram(own, "")?.readable).toEqual([own]);
    } finally {
      await Bun.file(own).delete();
    }
  });
});
