import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Agent, AgentCommand, AgentEvent, AgentExit, SandboxPaths } from "../../src/agents/agent.ts";
import { textEvent } from "../../src/agents/events.ts";

/** The configuration of agents when no variable is set but PATH. */
export const NOTHING = {
  agent: undefined,
  agentCommand: undefined,
  anthropicApiKey: undefined,
  openaiApiKey: undefined,
  geminiApiKey: undefined,
  claudePath: undefined,
  claudeModel: undefined,
  declaredAgents: undefined,
  path: process.env["PATH"] ?? "",
  sandboxProvider: "local" as const,
};

/** A git checkout with one commit, and the other folders of a sandbox; removed by `await using`. */
export async function openAgentFixture() {
  const root = await mkdtemp(join(tmpdir(), "agent-"));
  const paths: SandboxPaths = {
    checkout: join(root, "checkout"),
    home: join(root, "home"),
    tmp: join(root, "tmp"),
    state: join(root, "state"),
  };
  for (const path of Object.values(paths)) await mkdir(path);
  /** The variables that a sandbox adds; nothing else of this test's environment. */
  const base = {
    PATH: process.env["PATH"] ?? "",
    HOME: paths.home,
    LANG: "C.UTF-8",
    TMPDIR: paths.tmp,
    GIT_CONFIG_NOSYSTEM: "1",
  };
  const git = async (...args: string[]): Promise<string> => {
    const child = Bun.spawn(["git", "-c", "user.name=T", "-c", "user.email=t@example.com", ...args], {
      cwd: paths.checkout,
      env: base,
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    if ((await child.exited) !== 0) throw new Error(`git ${args.join(" ")}: ${err}`);
    return out.trim();
  };
  await git("init", "--quiet", "--initial-branch=main");
  await Bun.write(join(paths.checkout, "README.md"), "# Test\n");
  await git("add", ".");
  await git("commit", "--quiet", "-m", "First");

  return {
    paths,
    git,
    /** Runs the command as a sandbox would and reads it with the agent's reader. */
    async run(agent: Agent, command: AgentCommand) {
      const child = spawn(command, paths, base);
      const [stdout, stderr] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      await child.exited;
      const exit = exitOf(child, stderr);
      const reader = agent.reader();
      const events = stdout
        .split("\n")
        .map((line) => reader.read(line))
        .map((one) => (typeof one === "string" && one !== "" ? textEvent(one) : one))
        .filter((one): one is AgentEvent => typeof one === "object");
      return { events, exit, stdout, verdict: reader.verdict(exit) };
    },
    start: (command: AgentCommand) => spawn(command, paths, base),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

/** How a child process has ended. */
export function exitOf(child: Bun.Subprocess, stderr = ""): AgentExit {
  return {
    code: child.exitCode,
    signal: child.signalCode === null ? null : String(child.signalCode),
    stderr,
  };
}

function spawn(command: AgentCommand, paths: SandboxPaths, base: Record<string, string>) {
  return Bun.spawn([...command.argv], {
    cwd: paths.checkout,
    env: { ...base, ...command.env },
    stdin: Buffer.from(command.stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** All text, tool inputs and tool results of these events, to search in. */
export function textOf(events: readonly AgentEvent[]): string {
  return events.map((one) => JSON.stringify(one["message"] ?? one["result"] ?? "")).join("\n");
}
