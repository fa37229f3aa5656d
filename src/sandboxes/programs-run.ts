import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AgentCommand } from "../agents/agent.ts";
import { PROCESS_FOLDER } from "./process/supervisor.ts";

const fileIn = (folder: string) => join(folder, "only-built-in");

/**
 * Whether nothing but built-in programs has ever run in the sandbox. What an agent leaves in a checkout (a filter in
 * .git/config) is run by the packing of its work: the packing is as dangerous as the agent, whichever AGENT is set by then.
 * @param folder of the sandbox. @returns false for one of which nothing is known.
 */
export const onlyBuiltIn = (folder: string): boolean => existsSync(fileIn(folder));

/** Notes which kind of program is about to run in the sandbox. */
export function noteProgram(folder: string, command: Pick<AgentCommand, "builtIn">): void {
  if (!command.builtIn) rmSync(fileIn(folder), { force: true });
  else if (!readdirSync(folder).some((name) => PROCESS_FOLDER.test(name)))
    writeFileSync(fileIn(folder), "", { mode: 0o600 });
}
