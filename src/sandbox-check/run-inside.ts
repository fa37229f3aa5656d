import { stat } from "node:fs/promises";
import { findProgram } from "../agents/find-program.ts";
import { ownExecutable } from "../agents/own-executable.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { READY, type Target } from "./attack.ts";
import type { CheckGateway } from "./check-gateway.ts";
import type { Report } from "./inside.ts";

/** How a program with attacks ended. */
export interface Ended {
  reports: ReadonlyMap<string, Report>;
  /** Whether it came as far as its first attempt. */
  started: boolean;
  timedOut: boolean;
  longestLine: number;
  exit: { code: number | null; stderr: string };
  journalBytes: number;
}

const LIMIT_MS = 30_000;

/**
 * Runs attacks in a sandbox, as an agent would run.
 * @param options.onReady when one says that the host may look; then the program is ended.
 */
export async function runInside(options: {
  sandbox: Sandbox;
  target: Target;
  ids: readonly string[];
  /** An agent's program, whose surroundings the sandbox may show. */
  program: string;
  path: string;
  gateway: CheckGateway | undefined;
  isolated: boolean;
  limitMs?: number | undefined;
  onReady?: (() => Promise<void>) | undefined;
}): Promise<Ended> {
  const { sandbox, target, ids, program, path, gateway, isolated, limitMs = LIMIT_MS, onReady } = options;
  const own = ownExecutable();
  const beside = findProgram(program, path)?.readable ?? [];
  const command = {
    argv: [...own.argv, "attack", ...(isolated ? [] : ["--unisolated"]), ...ids] as const,
    env: { ...gateway?.env },
    stdin: JSON.stringify(target),
    readable: [...own.readable, ...beside],
  };
  const startedAt = performance.now();
  const child = sandbox.start(command, limitMs, gateway?.folder);
  // As the runner does.
  const disk = sandbox.watchDisk(() => void child.stop(0));
  const reports = new Map<string, Report>();
  let longestLine = 0;
  let started = false;
  for await (const { line } of child.lines(0)) {
    longestLine = Math.max(longestLine, line.length);
    const report = reportOf(line);
    if (report?.started) started = true;
    else if (report) reports.set(report.id, report);
    if (line !== READY || !onReady) continue;
    await onReady();
    await child.stop(0);
  }
  const { code, stderr } = await child.exit;
  disk.stop();
  const journalBytes = (await stat(child.output).catch(() => undefined))?.size ?? 0;
  const timedOut = performance.now() - startedAt > limitMs;
  return { reports, started, timedOut, longestLine, exit: { code, stderr }, journalBytes };
}

function reportOf(line: string): (Report & { started?: true }) | undefined {
  if (!line.startsWith('{"id":"') || line.length > 100_000) return undefined;
  try {
    return JSON.parse(line) as Report;
  } catch {
    return undefined;
  }
}
