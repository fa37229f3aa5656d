import type { RunLimits } from "../config/config.ts";
import type { ProcessUsage, Sandbox, SandboxProcess, SandboxProvider } from "../sandboxes/sandbox.ts";
import { inMiB, MIB } from "../shared/units.ts";

const TICK_MS = 250;
/** How much of a run's time may be waiting for its user, which does not count against its limits. */
export const MOST_WAITING_MS = 24 * 3_600_000;
/**
 * What a run uses is read at each tick, from a dozen files of the kernel. Of many runs each is read less often, so that watching
 * does not take a processor by itself; meanwhile the kernel's own limits hold. Milliseconds for each run, and the most.
 */
const READ_EVERY_PER_RUN_MS = 10;
const READ_EVERY_MOST_MS = 1_000;
/** How often to ask for the disk's space, and whether the agent does anything. */
const CHECK_EVERY_MS = 5_000;
/** An idle agent uses less than a hundredth of a processor; a clock tick is 10 ms. */
const IDLE_TICKS_PER_MS = 1 / 10 / 100;

/** Runs of this process that are watched. */
let watched = 0;

/** The limit that a run has reached, and a sentence for its user. */
export interface Limit {
  name:
    | "timeout"
    | "silence"
    | "result"
    | "memory"
    | "processes"
    | "output"
    | "events"
    | "stored"
    | "disk"
    | "quota"
    | "budget"
    | "calls";
  reason: string;
}

/** The limits of what a program may use. */
const EXCEEDED = {
  memory: ({ memoryBytes }) =>
    `it needed more memory than it may have (RUN_MEMORY_MB); the most that it had was ${Math.round(memoryBytes / MIB)} MB.`,
  processes: ({ processes }) =>
    `it started more processes than it may have (RUN_MAX_PROCESSES); the most that it had, threads included, were ${processes}.`,
  output: () => "it printed more than it may (RUN_MAX_OUTPUT_MB).",
} as const satisfies Partial<Record<Limit["name"], (peak: ProcessUsage["peak"]) => string>>;

/** The limit that a program has exceeded, if any. The last word is its usage after its end: a bomb may be fast. */
export function exceededLimit({ exceeded, peak }: ProcessUsage): Limit | undefined {
  return exceeded && { name: exceeded, reason: `The run was stopped: ${EXCEEDED[exceeded](peak)}` };
}

/** Whether the agent may tidy up: who fills a disk, a pipe or the memory would use the time to go on with that. */
export const mayTidyUp = ({ name }: Limit): boolean =>
  ["timeout", "silence", "result", "budget", "calls"].includes(name);

/**
 * Watches a run until it reaches a limit or `stop` is called.
 * @param options.hasResult whether the agent has printed its result.
 * @param options.asks whether the agent waits for its user: that time does not count, up to MOST_WAITING_MS.
 * @param options.waitedMs how long it has done so before.
 * @param options.onLimit called at most once.
 */
export function watchLimits(options: {
  limits: RunLimits;
  process: SandboxProcess;
  sandboxes: Pick<SandboxProvider, "freeBytes" | "disk">;
  sandbox: Pick<Sandbox, "watchDisk">;
  hasResult: () => boolean;
  asks: () => boolean;
  waitedMs: number;
  onLimit: (limit: Limit) => void;
}): { stop(): void } {
  const { limits, process, sandboxes, sandbox, hasResult, asks, onLimit } = options;
  const { timeoutMs, silenceMs, resultGraceMs, minFreeBytes } = limits;
  // A short limit is checked more often.
  const checkEveryMs =
    silenceMs > 0 ? Math.min(CHECK_EVERY_MS, Math.max(TICK_MS, silenceMs / 3)) : CHECK_EVERY_MS;
  let { waitedMs } = options;
  let tickedAt = performance.now();
  let checkedAt = tickedAt;
  let activeAt = checkedAt;
  let resultAt: number | undefined;
  let before = { cpuTicks: 0, outputBytes: -1 };
  let busy = false;
  let readAt = Number.NEGATIVE_INFINITY;

  let over = false;
  const hit = (limit: Limit) => {
    // A check may have begun before another one hit.
    if (over) return;
    over = true;
    stop();
    onLimit(limit);
  };
  const check = async (now: number) => {
    const usage = await process.usage();
    const exceeded = exceededLimit(usage);
    if (exceeded) return hit(exceeded);
    if (now - checkedAt < checkEveryMs) return;
    checkedAt = now;
    const worked = Math.abs(usage.cpuTicks - before.cpuTicks) > checkEveryMs * IDLE_TICKS_PER_MS;
    if (worked || usage.outputBytes !== before.outputBytes) activeAt = now;
    before = usage;
    if (silenceMs > 0 && now - activeAt > silenceMs)
      return hit({
        name: "silence",
        reason: `The run was stopped: the agent neither printed nor used the processor for ${inMinutes(silenceMs)} (RUN_SILENCE_MINUTES).`,
      });
    if ((await sandboxes.freeBytes()) < minFreeBytes / 2)
      hit({
        name: "disk",
        reason: "The run was stopped: the disk of the machine that runs the prompts is nearly full.",
      });
  };
  const tick = () => {
    const now = performance.now();
    if (asks() && waitedMs < MOST_WAITING_MS) {
      waitedMs += now - tickedAt;
      activeAt = now;
    }
    tickedAt = now;
    if (hasResult()) resultAt ??= now;
    if (resultAt !== undefined && now - resultAt > resultGraceMs)
      return hit({
        name: "result",
        reason: "The agent had printed its result but did not exit; it was stopped.",
      });
    if (process.ageMs() - Math.min(waitedMs, MOST_WAITING_MS) > timeoutMs)
      return hit({
        name: "timeout",
        reason: `The run was stopped: it took longer than ${inMinutes(timeoutMs)} (RUN_TIMEOUT_MINUTES).`,
      });
    const readEveryMs = Math.min(watched * READ_EVERY_PER_RUN_MS, READ_EVERY_MOST_MS);
    // A timer is a little early at times.
    if (busy || now - readAt < readEveryMs - TICK_MS / 2) return;
    readAt = now;
    busy = true;
    // A failed reading is repeated at the next check.
    check(now)
      .catch(() => undefined)
      .finally(() => {
        busy = false;
      });
  };
  const timer = setInterval(tick, TICK_MS);
  const space = sandbox.watchDisk(() =>
    hit({
      name: "quota",
      reason: `The run was stopped: its sandbox used all the disk space that it may: ${inMiB(sandboxes.disk.limit)} (RUN_DISK_MB).`,
    }),
  );
  watched += 1;
  let stopped = false;
  const stop = () => {
    if (!stopped) watched -= 1;
    stopped = true;
    clearInterval(timer);
    space.stop();
  };
  return { stop };
}

function inMinutes(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  return minutes === 1 ? "1 minute" : `${minutes} minutes`;
}
