import { existsSync } from "node:fs";
import { mkdir, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { installPinned, platformSuffix } from "./npm-install.ts";

/** Agents of the Agent Client Protocol with the versions that docs/AGENTS.md and the tests were verified with. */
export const AGENT_PROGRAMS = {
  // With the Codex program that it was made for.
  codex: { name: "@agentclientprotocol/codex-acp", version: "2.6.0", program: "codex-acp" },
  gemini: { name: "@google/gemini-cli", version: "0.61.0", program: "gemini" },
  // The native program, which the package opencode-ai copies into itself by an install script.
  opencode: {
    name: `opencode-${platformSuffix()}`,
    version: "1.18.33",
    program: "opencode",
    file: "bin/opencode",
  },
  "claude-acp": {
    name: "@agentclientprotocol/claude-agent-acp",
    version: "0.101.0",
    program: "claude-agent-acp",
  },
} as const satisfies Record<string, Wanted>;

export type AgentName = keyof typeof AGENT_PROGRAMS;

interface Wanted {
  name: string;
  version: string;
  program: string;
  /** The program in the package, where npm makes no link to it. */
  file?: string;
}

export interface InstalledAgent {
  /** Absolute. A link, as npm makes it. */
  path: string;
  /** The folder of `path`, for PATH. It has no program of another agent. */
  bin: string;
  /** What must be readable where the program runs. */
  folder: string;
}

const CACHE = resolve(import.meta.dir, "../../.cache/agents");
const found = new Map<AgentName, Promise<InstalledAgent | { missing: string }>>();

/**
 * The pinned program of an agent in .cache/agents, downloaded there once (100 to 460 MB each).
 * @returns where it is, or the reason why it is missing, for `unavailable` (harness/services.ts), which fails in CI.
 */
export function agentProgram(agent: AgentName): Promise<InstalledAgent | { missing: string }> {
  const known = found.get(agent) ?? find(AGENT_PROGRAMS[agent]);
  found.set(agent, known);
  return known;
}

async function find(wanted: Wanted): Promise<InstalledAgent | { missing: string }> {
  const { name, version, program, file } = wanted;
  const folder = join(CACHE, `${name.replace("/", "+")}@${version}`);
  const problem = await installPinned(folder, { name, version });
  if (problem) return { missing: `${name}@${version} could not be installed: ${problem}` };
  const modules = join(folder, "node_modules");
  const bin = join(modules, ".bin");
  const path = join(bin, program);
  if (file && !existsSync(path)) {
    await mkdir(bin, { recursive: true });
    // Another process may have been faster.
    await symlink(join("..", name, file), path).catch(() => undefined);
  }
  if (!existsSync(path)) return { missing: `${name}@${version} has no program ${program}` };
  return { path, bin, folder };
}
