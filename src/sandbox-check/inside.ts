import { readFileSync, readlinkSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { SANDBOX_HOSTNAME } from "../sandboxes/isolation/isolation.ts";
import { OperatorError } from "../shared/errors.ts";
import { type Attempt, codeOf, failed, type Target } from "./attack.ts";
import { ATTACKS } from "./table.ts";

/** A line that a program inside prints about one attempt. */
export interface Report extends Attempt {
  id: string;
}

/**
 * `prompt-backend attack ID...`: runs inside a sandbox, where an agent would, reads the target from stdin, and prints one
 * line of JSON an attempt.
 * @param options.unisolated try what is `harmless`, also outside of a sandbox.
 * @throws OperatorError outside of a sandbox: there, the attacks would succeed.
 */
export async function runAttacks(options: {
  ids: readonly string[];
  unisolated: boolean;
  stdin: AsyncIterable<Uint8Array | string>;
}): Promise<number> {
  const parts: Buffer[] = [];
  for await (const part of options.stdin) parts.push(Buffer.from(part));
  const target = JSON.parse(Buffer.concat(parts).toString("utf8")) as Target;
  const harmful = options.ids.find((id) => !ATTACKS.find((one) => one.id === id)?.harmless);
  if ((harmful !== undefined || !options.unisolated) && !inSandbox(target))
    throw new OperatorError(
      `attack ${harmful ?? ""} runs only inside a sandbox; use prompt-backend sandbox-check`,
      2,
    );
  for (const id of options.ids) {
    const attack = ATTACKS.find((one) => one.id === id);
    if (!attack?.inside) continue;
    writeSync(1, `\n${JSON.stringify({ id, started: true })}\n`);
    let attempt: Attempt;
    try {
      attempt = await attack.inside(target);
    } catch (error) {
      attempt = failed(`the attempt itself failed: ${codeOf(error)}`);
    }
    const report: Report = { id, ...attempt };
    // Not by the stream: the program may be killed right after.
    writeSync(1, `\n${JSON.stringify(report)}\n`);
  }
  return 0;
}

/** By what only a sandbox has: its host name, bubblewrap as the first process, and another PID namespace than the service. */
function inSandbox({ serviceNamespace }: Target): boolean {
  return (
    hostname() === SANDBOX_HOSTNAME &&
    readFileSync("/proc/1/comm", "utf8").trim() === "bwrap" &&
    typeof serviceNamespace === "string" &&
    readlinkSync("/proc/self/ns/pid") !== serviceNamespace
  );
}
