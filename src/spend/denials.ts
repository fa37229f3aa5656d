import { usdText } from "./money.ts";
import { resetOf } from "./periods.ts";
import type { Refusal, Scope } from "./store.ts";

/** Why a call is not made; `message` is for the agent and its user. */
export interface Denied {
  denied: "invalid" | "model" | "budget" | "calls" | "ended" | "busy" | "unavailable";
  message: string;
  /** When it may come again, milliseconds. */
  retryAfterMs?: number;
  /** Whose budget is used up. */
  scope?: Scope;
  /** That budget; money in billionths of a US dollar. */
  budget?: {
    most: number;
    spent: number;
    /** When there is a new one, as of the refusal: what follows from it may come after midnight. Undefined: never. */
    until: Date | undefined;
  };
}

const SCOPE_NAMES: Readonly<Record<Scope, string>> = {
  run: "this run",
  session: "this session",
  user_day: "you today",
  user_month: "you this month",
  deployment_day: "this deployment today",
};

/** What the agent and its user read. */
export function denialOf(refusal: Refusal): Denied {
  const denied = deniedFor(refusal);
  if (refusal.why !== "budget") return denied;
  const { scope, most, spent } = refusal;
  return { ...denied, budget: { most, spent, until: resetOf(scope, new Date()) } };
}

function deniedFor(refusal: Refusal): Denied {
  switch (refusal.why) {
    case "busy":
    case "held": {
      const until = refusal.why === "busy" ? refusal.until : undefined;
      return {
        denied: "busy",
        message: "The model takes no more calls of this deployment now. Try again later.",
        retryAfterMs: until ? Math.max(1_000, until.getTime() - Date.now()) : 2_000,
      };
    }
    case "ended":
      return { denied: "ended", message: "The run that this call is for has ended." };
    case "calls":
      return {
        denied: "calls",
        message: `The run has made all of its ${refusal.most} model calls (RUN_MAX_MODEL_CALLS).`,
      };
    case "budget": {
      const { scope, most, spent } = refusal;
      return {
        denied: "budget",
        scope,
        message: `The budget is used up: of ${usdText(most)} for ${SCOPE_NAMES[scope]}, ${usdText(spent)} are spent, and the next call could cost more than what is left.`,
      };
    }
  }
}
