import { writeSync } from "node:fs";
import { scanUsage } from "../sandboxes/process/process-usage.ts";
import { killMarked, PROCESS_MARKER } from "../sandboxes/process/processes.ts";
import { inMiB, MIB } from "../shared/units.ts";
import { type Attempt, blocked, failed, type Host, open, READY, type Target } from "./attack.ts";
import { CHECK_LIMITS } from "./settings.ts";

/** As many as a run may have, less the threads of the program itself: its runtime crashes where it cannot start one. */
const PROCESSES = CHECK_LIMITS.maxProcesses - 28;
/** Together 1.8 MB: the kernel takes 2 MiB, and 128 KiB in one variable. */
const VARIABLES = 15;
const VARIABLE_BYTES = 120_000;
/** More than a garbage collector lets lie around, and less than the whole environments take. */
const MOST_GROWTH = 64 * MIB;
/** The whole environments of fewer might go unnoticed; one may be missed while it starts. */
const FEWEST = PROCESSES / 2;
const SAMPLE_MS = 2;

/** A mark that no program of the service has. */
const markOf = ({ sessionId }: Target) => `forged-${sessionId}`;

/** Runs inside. The mark comes first: whoever hides it behind the rest is not found by it, as if it were dropped. */
export async function startWithEnvironments(target: Target): Promise<Attempt> {
  const large = Array.from({ length: VARIABLES }, (_, n) => [`A${n}`, "x".repeat(VARIABLE_BYTES)]);
  const env = { [PROCESS_MARKER]: markOf(target), ...Object.fromEntries(large) };
  const children = Array.from({ length: PROCESSES }, () =>
    Bun.spawn(["sleep", "30"], { env, stdio: ["ignore", "ignore", "ignore"] }),
  );
  writeSync(1, `${READY}\n`);
  await Bun.sleep(20_000);
  return failed(`nobody looked at ${children.length} processes`);
}

/**
 * Looks for processes by their mark and kills them, which the service does where neither a namespace nor a control group
 * tells whose they are. Environments are read nowhere else.
 */
export async function readEnvironments({ target }: Host): Promise<Attempt> {
  const id = markOf(target);
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  let peak = before;
  const sample = () => {
    peak = Math.max(peak, process.memoryUsage.rss());
  };
  const timer = setInterval(sample, SAMPLE_MS);
  let found: number;
  try {
    const program = { id, namespace: undefined, isolated: false };
    found = (await scanUsage(program, CHECK_LIMITS)).processes;
    sample();
    await killMarked(PROCESS_MARKER, id);
    sample();
  } finally {
    clearInterval(timer);
  }
  const grown = `the service grew by ${inMiB(peak - before)} over ${found} processes`;
  if (found < FEWEST) return failed(`${grown}, of ${PROCESSES}: too few to tell`);
  return peak - before > MOST_GROWTH ? open(grown) : blocked(grown);
}
