import { stat } from "node:fs/promises";
import { findProgram } from "../agents/find-program.ts";
import { ownExecutable } from "../agents/own-executable.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { READY, type Target } from "./attack.ts";
import type { Report } from "./inside.ts";

/** How a program with attacks ended. */
export interface Ended {
  reports: ReadonlyMap<string, Report>;
  /** Whether it came as far as its first attempt. */
  started: boolean;
  timedOut: boolean;
  printed: string;
  exit: { code: number | null; stderr: string };
  journalBytes: number;
}

const LIMIT_MS = 30_000;
/** Enough to see that a line was not cut. */
const PRINTED_MAX = 8 * 1024 * 1024;

/** Runs attacks in a sandbox, as an agent would run. @param options.onReady when one says that the host may look; then the program is ended. */
export async function runInside(options: {
  sandbox: Sandbox;
  target: Target;
  ids: readonly string[];
  /** An agent's program, whose surroundings the sandbox may show. */
  program: string;
  path: string;
  limitMs?: number | undefined;
  onReady?: (() => Promise<void>) | undefined;
}): Promise<Ended> {
  const { sandbox, target, ids, program, path, limitMs = LIMIT_MS, onReady } = options;
  const own = ownExecutable();
  const beside = findProgram(program, path)?.readable ?? [];
  const command = {
    argv: [...own.argv, "attack", ...ids] as const,
    env: { AGENT_STATE_DIR: sandbox.paths.state },
    stdin: JSON.stringify(target),
    readable: [...own.readable, ...beside],
  };
  const startedAt = performance.now();
  const child = sandbox.start(command, limitMs);
  const reports = new Map<string, Report>();
  let printed = "";
  let started = false;
  for await (const { line } of child.lines(0)) {
    if (printed.length < PRINTED_MAX) printed += `${line}\n`;
    const report = reportOf(line);
    if (report?.started) started = true;
    else if (report) reports.set(report.id, report);
    if (line !== READY || !onReady) continue;
    await onReady();
    await child.stop(0);
  }
  const { code, stderr } = await child.exit;
  const journalBytes = (await stat(child.output).catch(() => undefined))?.size ?? 0;
  const timedOut = performance.now() - startedAt > limitMs;
  return { reports, started, timedOut, printed, exit: { code, stderr }, journalBytes };
}

function reportOf(line: string): (Report & { started?: true }) | undefined {
  if (!line.startsWith('{"id":"') || line.length > 100_000) return undefined;
  try {
    return JSON.parse(line) as Report;
  } catch {
    return undefined;
  }
}
