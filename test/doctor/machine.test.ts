import { expect, test } from "bun:test";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { useDoctor } from "./use-doctor.ts";

const { scratch, examined } = useDoctor();

test("missing or broken programs, a full disk, a port in use", async () => {
  const bin = join(scratch.folder, "bin");
  await mkdir(bin);
  const script = async (name: string, text: string) => {
    await Bun.write(join(bin, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(bin, name), 0o755);
  };
  const bare = await examined({ PATH: bin });
  expect([bare.code, bare.of("git")]).toEqual([1, "fail: git is not installed"]);
  expect(bare.of("git-lfs")).toMatch(/^ok: not installed: files of Git LFS are pointers/);
  expect(bare.of("prepared checkouts")).toBe(
    "warn: setup commands run in each new checkout: there is no GNU tar, no GNU find, no GNU sort",
  );
  expect(bare.of("isolation")).toMatch(
    /^warn: prompts of any agent but the built-in demo would wait: bubblewrap is not installed/,
  );

  // A line for each that is missing: on one line nobody found what to install.
  const [first, ...missing] = bare.of("agents")?.split("\n") ?? [];
  expect(first).toBe("ok: prompts may name demo");
  for (const [n, name] of ["claude", "codex", "gemini", "opencode"].entries())
    expect(missing[n]).toMatch(new RegExp(`^not ${name}: .*is not installed`));

  // As busybox does.
  for (const name of ["tar", "find", "sort"]) await script(name, "echo 'BusyBox v1.36.1'");
  await script("git", "echo git version 2.20.1");
  await script("git-lfs", "exit 1");
  await script("bwrap", "echo no namespaces here >&2; exit 1");
  await script("claude", "echo 9.8.7 '(Claude Code)'");
  const taken = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
  try {
    const { code, of, text } = await examined({
      PATH: bin,
      AGENT: "claude",
      ANTHROPIC_API_KEY: "sk-secret-of-ours",
      ANTHROPIC_BASE_URL: `http://127.0.0.1:${taken.port}`,
      MIN_FREE_DISK_MB: "9999999",
      PORT: String(taken.port),
    });
    expect(code).toBe(1);
    expect(of("git")).toBe("fail: git version 2.20.1 is too old");
    expect(of("git-lfs")).toMatch(/^fail: .*git-lfs does not work/);
    expect(of("isolation")).toMatch(/^fail: prompts wait: .*no namespaces here/);
    for (const name of ["users", "network", "seccomp"])
      expect([name, of(name)]).toEqual([name, "warn: not tried: bubblewrap does not work"]);
    expect(of("prepared checkouts")).toMatch(/^warn: setup commands run in each new checkout/);
    expect(of("agent")).toMatch(/^ok: The agent is Claude Code .* Its version: 9\.8\.7/);
    expect(of("disk")).toMatch(/^fail: .* less than MIN_FREE_DISK_MB/);
    expect(of("port")).toMatch(/^fail: .*is in use by another process/);
    expect(text).not.toContain("sk-secret");
  } finally {
    await taken.stop(true);
  }

  const noAgent = await examined({ AGENT: "command", AGENT_COMMAND: '["no-such-agent"]' });
  expect(noAgent.of("agent")).toMatch(/^fail: The program "no-such-agent" of AGENT_COMMAND is not installed/);
  expect(noAgent.of("prepared checkouts")).toBe("ok: kept, up to 4096 MB (PREPARED_MAX_MB)");
  expect((await examined({ PREPARED_MAX_MB: "0" })).of("prepared checkouts")).toMatch(/^ok: not kept/);
  const byDefault = await examined({ AGENT: "" });
  expect(byDefault.of("agent")).toMatch(/^warn: The agent is the built-in demo/);
});
