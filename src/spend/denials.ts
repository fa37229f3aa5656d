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
  /** That budget, if the call could be made once there is more of it; money in billionths of a US dollar. */
  budget?: {
    most: number;
    spent: number;
    /** What the call that was refused may cost. */
    amount: number;
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
  switch (refusal.why) {
    case "busy": {
      const { until } = refusal;
      return {
        denied: "busy",
        message: until
          ? `The model's API has said that it is overloaded: this deployment makes no calls before ${until.toISOString().slice(11, 19)} UTC.`
          : "As many calls of the model are under way as this deployment may have now.",
        retryAfterMs: until ? Math.max(1_000, until.getTime() - Date.now()) : 2_000,
      };
    }
    case "held":
      return {
        denied: "busy",
        message: "Calls that are under way hold what is left of the budget.",
        retryAfterMs: 2_000,
      };
    case "ended":
      return { denied: "ended", message: "The run that this call is for has ended." };
    case "calls":
      return {
        denied: "calls",
        message: `The run has made all of its ${refusal.most} model calls (RUN_MAX_MODEL_CALLS).`,
      };
    case "budget": {
      const { scope, most, spent, amount } = refusal;
      // What others have spent is not everybody's to know.
      const isShared = scope === "deployment_day";
      const whole = isShared ? SCOPE_NAMES[scope] : `${usdText(most)} for ${SCOPE_NAMES[scope]}`;
      const used = isShared ? `for ${whole},` : `of ${whole}, ${usdText(spent)} are spent, and`;
      return {
        denied: "budget",
        scope,
        // What is more than a day's whole budget is so on the next day, too: only what a user can raise is worth a wait.
        ...((amount <= most || scope === "run") && {
          budget: { most, spent, amount, until: resetOf(scope, new Date()) },
        }),
        message:
          amount > most
            ? `This call alone could cost ${usdText(amount)}, which is more than the whole budget of ${whole}: it needs a lower limit of output (such as max_tokens), a cheaper model or a higher budget.`
            : `The budget is used up: ${used} the next call could cost ${usdText(amount)}, more than what is left.`,
      };
    }
  }
}
