import { join } from "node:path";
import { GATEWAY_PORT } from "../../src/sandboxes/isolation/isolation.ts";
import { jobScript } from "./agent.ts";

/** Its name, by which prompts ask for it. */
export const ACP_AGENT = "chaos-acp";

/** The settings of an agent of the Agent Client Protocol that does the jobs, beside those of the default agent. */
export async function acpAgent(tracePort: number): Promise<Record<string, string>> {
  const source = await Bun.file(join(import.meta.dir, "acp-program.ts")).text();
  // As an argument: no file of this project is there in a sandbox.
  const program = new Bun.Transpiler({ loader: "ts", target: "bun" }).transformSync(source);
  const reports = [`http://127.0.0.1:${GATEWAY_PORT}`, `http://127.0.0.1:${tracePort}`];
  const command = [process.execPath, "-e", program, "--", ...reports, jobScript({ tracePort, again: true })];
  return { AGENTS: JSON.stringify([{ name: ACP_AGENT, title: "ACP", command, protocol: "acp" }]) };
}
