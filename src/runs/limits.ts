import type { RunLimits } from "../config/config.ts";
import type { Sandbox, SandboxProcess, SandboxProvider } from "../sandboxes/sandbox.ts";

/** How much an agent may print in one run. */
const MAX_OUTPUT_BYTES = 1024 ** 3;
const TICK_MS = 500;
/** Reading processor time and disk space costs more than reading a clock. */
const CHECK_EVERY_MS = 5_000;
/** An idle agent uses less than a hundredth of a processor; a clock tick is 10 ms. */
const IDLE_TICKS_PER_MS = 1 / 10 / 100;

/** The limit that a run has reached, and a sentence for its user. */
export interface Limit {
  name: "timeout" | "silence" | "result" | "output" | "disk" | "quota";
  reason: string;
}

/**
 * Watches a run until it reaches a limit or `stop` is called.
 * @param options.hasResult whether the agent has printed its result.
 * @param options.onLimit called at most once.
 */
export function watchLimits(options: {
  limits: RunLimits;
  process: SandboxProcess;
  sandboxes: Pick<SandboxProvider, "freeBytes" | "disk">;
  sandbox: Pick<Sandbox, "watchDisk">;
  hasResult: () => boolean;
  onLimit: (limit: Limit) => void;
}): { stop(): void } {
  const { limits, process, sandboxes, sandbox, hasResult, onLimit } = options;
  const { timeoutMs, silenceMs, resultGraceMs, minFreeBytes } = limits;
  // A short limit is checked more often.
  const checkEveryMs =
    silenceMs > 0 ? Math.min(CHECK_EVERY_MS, Math.max(TICK_MS, silenceMs / 3)) : CHECK_EVERY_MS;
  let checkedAt = performance.now();
  let activeAt = checkedAt;
  let resultAt: number | undefined;
  let before = { cpuTicks: 0, outputBytes: -1 };
  let busy = false;

  const hit = (name: Limit["name"], reason: string) => {
    stop();
    onLimit({ name, reason });
  };
  const check = async (now: number) => {
    const usage = await process.usage();
    const worked = Math.abs(usage.cpuTicks - before.cpuTicks) > checkEveryMs * IDLE_TICKS_PER_MS;
    if (worked || usage.outputBytes !== before.outputBytes) activeAt = now;
    before = usage;
    if (usage.outputBytes > MAX_OUTPUT_BYTES)
      return hit(
        "output",
        `The run was stopped: the agent printed more than ${MAX_OUTPUT_BYTES / 1024 ** 3} GiB.`,
      );
    if (silenceMs > 0 && now - activeAt > silenceMs)
      return hit(
        "silence",
        `The run was stopped: the agent neither printed nor used the processor for ${inMinutes(silenceMs)} (RUN_SILENCE_MINUTES).`,
      );
    if ((await sandboxes.freeBytes()) < minFreeBytes / 2)
      hit("disk", "The run was stopped: the disk of the machine that runs the prompts is nearly full.");
  };
  const tick = () => {
    const now = performance.now();
    if (hasResult()) resultAt ??= now;
    if (resultAt !== undefined && now - resultAt > resultGraceMs)
      return hit("result", "The agent had printed its result but did not exit; it was stopped.");
    if (process.ageMs() > timeoutMs)
      return hit(
        "timeout",
        `The run was stopped: it took longer than ${inMinutes(timeoutMs)} (RUN_TIMEOUT_MINUTES).`,
      );
    if (busy || now - checkedAt < checkEveryMs) return;
    busy = true;
    checkedAt = now;
    // A failed reading is repeated at the next check.
    check(now)
      .catch(() => undefined)
      .finally(() => {
        busy = false;
      });
  };
  const timer = setInterval(tick, TICK_MS);
  const space = sandbox.watchDisk(() =>
    hit(
      "quota",
      `The run was stopped: its sandbox used all the disk space that it may: ${Math.round(sandboxes.disk.limit / 1024 ** 2)} MiB (RUN_DISK_MB).`,
    ),
  );
  const stop = () => {
    clearInterval(timer);
    space.stop();
  };
  return { stop };
}

function inMinutes(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  return minutes === 1 ? "1 minute" : `${minutes} minutes`;
}
