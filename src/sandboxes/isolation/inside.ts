import type { SandboxPaths } from "../../agents/agent.ts";

/** Paths inside the sandbox, in the order of mounting. */
export const INSIDE = {
  tmp: "/tmp",
  home: "/home/agent",
  state: "/home/agent/.agent",
  checkout: "/workspace",
} as const satisfies SandboxPaths;
