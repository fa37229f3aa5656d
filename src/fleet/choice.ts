import type { Queryable } from "../db/client.ts";
import type { RunMode } from "../db/columns.ts";
import type { PromptChoice } from "../db/json-columns.ts";
import { readAgentReports } from "../db/worker-agents.ts";
import { AppError } from "../shared/errors.ts";
import { NANO, usdText } from "../spend/money.ts";
import { type FleetAgent, fleetOf } from "./list.ts";

/** What the sender of a prompt asks for. */
export interface AskedChoice {
  agent?: string | undefined;
  model?: string | undefined;
  mode?: RunMode | undefined;
  maxTurns?: number | undefined;
  /** In billionths of a US dollar. */
  budget?: number | undefined;
}

/** What the session's newest prompt has, or the project of a session that has none yet. */
interface Before {
  choice: PromptChoice | null;
  /** What works on it, chosen or not. */
  lastAgent: string | null;
  /** The same, if a live worker still has it as its default. */
  usualAgent: string | null;
}

/** Columns of the new prompt, and what the session's next one goes on with. */
export interface ResolvedChoice {
  columns: {
    agent: string | null;
    model: string | null;
    mode: RunMode;
    maxTurns: number | null;
    budget: number | null;
  };
  /** Undefined: as it was. */
  choice: PromptChoice | undefined;
}

const NOTHING: PromptChoice = { agent: null, model: null, mode: "auto" };

/**
 * The fields of a request. @param most what a run of this deployment may cost, in billionths of a US dollar.
 * @throws AppError `budget_too_high`
 */
export function askedChoice(
  body: { agent?: string; model?: string; mode?: RunMode; max_turns?: number; budget_usd?: number },
  most: number | undefined,
): AskedChoice {
  const { agent, model, mode, max_turns: maxTurns, budget_usd: usd } = body;
  const budget = usd === undefined ? undefined : Math.round(usd * NANO);
  if (budget !== undefined && most !== undefined && budget > most)
    throw new AppError(
      "budget_too_high",
      `budget_usd: a prompt may cost at most ${usdText(most)} here (BUDGET_USD_PER_RUN); send it with that or less.`,
    );
  return { agent, model, mode, maxTurns, budget };
}

/**
 * What a new prompt runs with. What is not asked for is as in the session's newest prompt, or as its project says: never is `auto` taken for an `ask`
 * of before; but a model is another agent's only by its name, and is not kept for it. Reads nothing if there is nothing to check.
 * @param before undefined: it is the session's first prompt, and its project says nothing.
 * @throws AppError `agent_unavailable`, `model_unavailable`, `mode_unavailable`, `max_turns_unavailable`
 */
export async function resolveChoice(
  orm: Queryable,
  asked: AskedChoice,
  before: Before = { choice: null, lastAgent: null, usualAgent: null },
): Promise<ResolvedChoice> {
  const kept = before.choice ?? NOTHING;
  const same = asked.agent === undefined || asked.agent === (kept.agent ?? before.lastAgent);
  const mode = asked.mode ?? kept.mode;
  const model = asked.model ?? (same ? kept.model : null);
  const { maxTurns = null, budget = null } = asked;
  let agent = asked.agent ?? kept.agent;
  if (agent === null && model === null && mode === "auto") {
    if (maxTurns !== null) checkTurns(fleetOf(await readAgentReports(orm)), before.usualAgent);
    return {
      columns: { agent: before.usualAgent, model, mode, maxTurns, budget },
      choice: same && kept.mode === mode ? undefined : { agent, model, mode },
    };
  }
  const rows = await readAgentReports(orm);
  const fleet = fleetOf(rows);
  // A model and a mode are an agent's: the default is one from here on.
  agent ??= before.usualAgent ?? fleet.find((one) => one.default)?.name ?? null;
  const had = rows.some((one) => one.agent === agent && one.had);
  if (agent !== null) check(fleet, { agent, model, mode, had });
  if (maxTurns !== null) checkTurns(fleet, agent);
  const choice = { agent, model, mode };
  const isAsBefore = kept.agent === agent && kept.model === model && kept.mode === mode;
  return { columns: { ...choice, maxTurns, budget }, choice: isAsBefore ? undefined : choice };
}

/** @param agent null: the default. One that nobody has reported is held to it, or not started, by its worker. */
function checkTurns(fleet: readonly FleetAgent[], agent: string | null): void {
  const found = fleet.find((one) => (agent === null ? one.default : one.name === agent));
  if (!found || found.max_turns) return;
  const able = fleet.filter((one) => one.available && one.max_turns).map(({ name }) => name);
  throw new AppError(
    "max_turns_unavailable",
    `max_turns: ${found.name} cannot be held to a number of turns; send the prompt without it${able.length > 0 ? `, or name one of ${able.join(", ")} as the agent` : ""}.`,
  );
}

function check(
  fleet: readonly FleetAgent[],
  wanted: { agent: string; model: string | null; mode: RunMode; had: boolean },
): void {
  const { agent, model, mode, had } = wanted;
  const found = fleet.find(({ name }) => name === agent);
  if (!found || !(found.available || had)) {
    const available = fleet.filter((one) => one.available).map(({ name }) => name);
    const others =
      available.length > 0 ? `Available: ${available.join(", ")}.` : "No agent is available now.";
    throw new AppError(
      "agent_unavailable",
      `agent: no worker has had the agent ${agent} within the last day.${found?.reason ? ` ${found.reason}` : ""} ${others}`,
    );
  }
  if (model !== null && found.models.length > 0 && !found.models.includes(model))
    throw new AppError(
      "model_unavailable",
      `model: ${agent} does not have the model ${model}. It has: ${found.models.join(", ")}.`,
    );
  if (!found.modes.includes(mode))
    throw new AppError(
      "mode_unavailable",
      `mode: ${agent} does not have the mode ${mode}. It has: ${found.modes.join(", ")}. A prompt that names no mode has that of the session's prompt before it, the first one that of its project.`,
    );
}
