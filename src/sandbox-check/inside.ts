import { writeSync } from "node:fs";
import { type Attempt, codeOf, type Target, untried } from "./attack.ts";
import { ATTACKS } from "./table.ts";

/** A line that a program inside prints about one attempt. */
export interface Report extends Attempt {
  id: string;
}

/**
 * `prompt-backend attack ID...`: runs inside a sandbox, where an agent would, reads the target from stdin, and prints one
 * line of JSON an attempt.
 */
export async function runAttacks(options: {
  ids: readonly string[];
  stdin: AsyncIterable<Uint8Array | string>;
}): Promise<number> {
  const parts: Buffer[] = [];
  for await (const part of options.stdin) parts.push(Buffer.from(part));
  const target = JSON.parse(Buffer.concat(parts).toString("utf8")) as Target;
  for (const id of options.ids) {
    const attack = ATTACKS.find((one) => one.id === id);
    if (!attack?.inside) continue;
    writeSync(1, `\n${JSON.stringify({ id, started: true })}\n`);
    let attempt: Attempt;
    try {
      attempt = await attack.inside(target);
    } catch (error) {
      attempt = untried(`the attempt itself failed: ${codeOf(error)}`);
    }
    const report: Report = { id, ...attempt };
    // Not by the stream: the program may be killed right after.
    writeSync(1, `\n${JSON.stringify(report)}\n`);
  }
  return 0;
}
