import type { SandboxPaths } from "../../agents/agent.ts";

/** Where git finds the store of a repository. */
export const STORE_INSIDE = "/git/store";
/** Where checkouts find the objects that they borrow of it: at the same place as the git that makes the checkout. */
export const SHARED_INSIDE = `${STORE_INSIDE}/base/objects`;

/** Where programs read what the service has written for them, and nobody there can write. */
export const MAILBOX_INSIDE = "/run/mailbox";

/** Paths inside the sandbox, in the order of mounting. */
export const INSIDE = {
  tmp: "/tmp",
  home: "/home/agent",
  state: "/home/agent/.agent",
  checkout: "/workspace",
} as const satisfies SandboxPaths;
