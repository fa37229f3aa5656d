import { AgentUnavailable } from "../agents/agent.ts";
import type { WaitingFor } from "../db/columns.ts";
import type { Failure } from "../db/json-columns.ts";
import { NotIsolated, RepositoryError } from "../sandboxes/sandbox.ts";
import { outageOf } from "./outages.ts";

/** A prompt whose runs keep failing, or whose runners keep dying, becomes a dead letter after this many attempts. */
export const MAX_ATTEMPTS = 5;
/** The same after this many claims without an end, whatever became of each, except that its runner deferred it. */
export const MAX_CLAIMS = 100;
/** An agent is killed, and its prompt becomes a dead letter, after this many takeovers in a row without progress. */
export const MAX_STALLS = 3;
const ISOLATION_DELAY_MS = { first: 15_000, longest: 2 * 60_000 };
const FIRST_DELAY_MS = 2_000;
const LONGEST_DELAY_MS = 5 * 60_000;

/** The service lacks a resource that becomes free by itself: the prompt waits, and this does not count as an attempt. */
export class Deferred extends Error {
  override readonly name = "Deferred";
  constructor(
    message: string,
    readonly waitingFor: WaitingFor,
    readonly delayMs: number,
  ) {
    super(message);
  }
}

/** What the prompt waits for, if the error is of that kind. @param epoch of the run: the more claims, the longer. */
export function deferredOf(error: unknown, epoch: number): Deferred | undefined {
  if (error instanceof Deferred) return error;
  if (!(error instanceof NotIsolated)) return undefined;
  // It is for the operator to mend. With many prompts that wait, frequent claims would be a load.
  const delayMs = Math.min(ISOLATION_DELAY_MS.longest, ISOLATION_DELAY_MS.first * 2 ** (epoch - 1));
  return new Deferred(`Waiting: ${error.message}.`, "isolation", delayMs);
}

/** The run cannot continue, and a retry could repeat an effect. `message` is for the user. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/**
 * The agent was killed for a reason outside its work: by an operator, a restart of the machine, or because the disk is
 * full. No work has left the sandbox: the next attempt starts from a clean checkout. `message` is for the user.
 */
export class AgentKilled extends Error {
  override readonly name = "AgentKilled";
}

export const DISK_WAS_FULL =
  "The disk of the machine that runs the prompts was full, and a part of the work was lost.";

/** The setup command of the run's project has failed; not retried. `message` is for the user. */
export class SetupFailed extends Error {
  override readonly name = "SetupFailed";
  constructor(
    message: string,
    readonly kind: "configuration" | "limit",
  ) {
    super(message);
  }
}

/** No attempt is left. `message` is for the user. */
export class AttemptsExhausted extends Error {
  override readonly name = "AttemptsExhausted";
}

/**
 * The kinds of failure and their handling: `transient` is retried with growing delays, then becomes a dead letter (what is
 * outside the service is waited for, without counting attempts: see outages.ts);
 * `configuration` fails at once and says what to set; `interrupted` and `limit` fail, and the user decides; `poison` becomes
 * a dead letter.
 */
export function classify(error: unknown): { kind: Failure["kind"]; message: string } {
  if (error instanceof Deferred || error instanceof AgentKilled)
    return { kind: "transient", message: error.message };
  const outage = outageOf(error);
  if (outage) return { kind: "transient", message: outage.message };
  if (error instanceof NotIsolated) return { kind: "transient", message: `Waiting: ${error.message}.` };
  if (error instanceof Interrupted) return { kind: "interrupted", message: error.message };
  if (error instanceof AttemptsExhausted) return { kind: "poison", message: error.message };
  if (error instanceof SetupFailed) return { kind: error.kind, message: error.message };
  if (error instanceof AgentUnavailable) return { kind: "configuration", message: error.message };
  if (error instanceof RepositoryError)
    return { kind: error.transient ? "transient" : "configuration", message: error.message };
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ENOSPC" || code === "EDQUOT")
    return { kind: "transient", message: "The disk of the machine that runs the prompts is full." };
  return { kind: "transient", message: "The run failed inside the service. Its log has the details." };
}

/** The delay before the next attempt: 2 s, doubled each time, at most 5 min, with a jitter of ±50 %. */
export function backoffMs(attempt: number, random = Math.random): number {
  const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
  return delay * (0.5 + random());
}
