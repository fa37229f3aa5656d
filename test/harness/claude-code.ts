import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { installPinned, platformSuffix } from "./npm-install.ts";

/** The version that the documentation and the tests were verified with. It is pinned, or tests would change by themselves. */
export const CLAUDE_CODE_VERSION = "2.1.330";

const CACHE = resolve(import.meta.dir, "../../.cache/claude-code");
let found: Promise<string | { missing: string }> | undefined;

/**
 * The pinned Claude Code program in .cache/claude-code, downloaded there once (about 100 MB).
 * @returns its absolute path, or the reason why it is missing, for the title of a skipped test.
 * @throws in CI (CI=true), where a skipped test would look like a passed one.
 */
export function claudeProgram(): Promise<string | { missing: string }> {
  found ??= find();
  return found;
}

async function find(): Promise<string | { missing: string }> {
  // The name of the native package, as Claude Code itself derives it.
  const name = `@anthropic-ai/claude-code-${platformSuffix()}`;
  const program = join(CACHE, "node_modules", name, "claude");
  const problem = await installPinned(CACHE, { name, version: CLAUDE_CODE_VERSION });
  if (!problem && existsSync(program)) return program;
  const missing = `${name}@${CLAUDE_CODE_VERSION} could not be downloaded: ${problem ?? "the package has no program"}`;
  if (process.env["CI"] === "true") throw new Error(missing);
  return { missing };
}
