import { client } from "../api.ts";

export type Decision = "retry" | "resolve" | "abandon";

/** The most entries of one request. */
const BATCH = 100;

/** Of each decision: its words, and what will happen. */
export const DECISIONS = {
  retry: {
    verb: "Retry",
    done: "Queued again",
    happens:
      "A prompt is queued again at its place in its session, with all its attempts; the return of a sandbox is tried again. The entry is then resolved, and a run that fails again makes a new one.",
  },
  resolve: {
    verb: "Resolve",
    done: "Resolved",
    happens:
      "The entry is kept as dealt with. Nothing runs, and the session stays as it is: write a follow-up there to go on with it.",
  },
  abandon: {
    verb: "Abandon",
    done: "Abandoned",
    happens:
      "The entry is kept as given up: nothing will be done about it. Nothing runs, and the session stays as it is.",
  },
} as const satisfies Readonly<Record<Decision, { verb: string; done: string; happens: string }>>;

/** How many were decided, and the first reason why others were not. */
export interface Outcome {
  done: number;
  failed: number;
  error: unknown;
}

/**
 * Carries a decision out. One that the service refuses does not hold up the others.
 * @param onProgress hears how many are through.
 */
export async function decide(
  decision: Decision,
  wanted: { ids: readonly string[]; notes: string; onProgress: (through: number) => void },
): Promise<Outcome> {
  const { ids, notes, onProgress } = wanted;
  const params = { action: decision, resolution_notes: notes.trim() || null };
  const outcome: Outcome = { done: 0, failed: 0, error: undefined };
  for (let from = 0; from < ids.length; from += BATCH) {
    const batch = ids.slice(from, from + BATCH);
    const { results } = await client.deadLetters.bulk({ ...params, ids: batch });
    for (const { success, message } of results) {
      if (success) outcome.done += 1;
      else {
        outcome.failed += 1;
        outcome.error ??= new Error(message);
      }
    }
    onProgress(from + batch.length);
  }
  return outcome;
}
