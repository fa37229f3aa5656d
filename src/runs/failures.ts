import { AgentUnavailable } from "../agents/agent.ts";
import type { Failure } from "../db/json-columns.ts";
import { RepositoryError } from "../sandboxes/sandbox.ts";

/** A prompt whose runs keep failing, or whose runners keep dying, is given up after so many attempts. */
export const MAX_ATTEMPTS = 5;
/** A prompt that was claimed so often and came to no end is given up, whatever each claim came to. */
export const MAX_CLAIMS = 100;
const FIRST_DELAY_MS = 2_000;
const LONGEST_DELAY_MS = 5 * 60_000;

/** Not now: the machine lacks something that comes back by itself. No fault of the prompt, and no attempt of it. */
export class NotNow extends Error {
  override readonly name = "NotNow";
  constructor(
    message: string,
    readonly delayMs: number,
  ) {
    super(message);
  }
}

/** What happened to a run that cannot go on, and nothing may be done twice. `message` is for the user. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/**
 * The agent was ended in the middle of its work, and not for what it did: somebody killed it, the machine was restarted, its
 * disk is full. Nothing has left the sandbox: the next attempt starts from a clean checkout. `message` is for the user.
 */
export class CutShort extends Error {
  override readonly name = "CutShort";
}

/** Given up. `message` is for the user. */
export class Poison extends Error {
  override readonly name = "Poison";
}

/**
 * The kinds, and what follows: `transient` is tried again, later each time, and then goes to the dead letters;
 * `configuration` fails at once and says what to set; `interrupted` and `limit` fail, and the user decides; `poison` goes
 * to the dead letters.
 */
export function classify(error: unknown): { kind: Failure["kind"]; message: string } {
  if (error instanceof NotNow || error instanceof CutShort)
    return { kind: "transient", message: error.message };
  if (error instanceof Interrupted) return { kind: "interrupted", message: error.message };
  if (error instanceof Poison) return { kind: "poison", message: error.message };
  if (error instanceof AgentUnavailable) return { kind: "configuration", message: error.message };
  if (error instanceof RepositoryError)
    return { kind: error.passing ? "transient" : "configuration", message: error.message };
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ENOSPC" || code === "EDQUOT")
    return { kind: "transient", message: "The disk of the machine that runs the prompts is full." };
  return { kind: "transient", message: "The run failed inside the service. Its log has the details." };
}

/** How long a failed attempt waits for the next: 2 s, doubled each time, at most 5 min, give or take a half. */
export function backoffMs(attempt: number, random = Math.random): number {
  const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
  return delay * (0.5 + random());
}
