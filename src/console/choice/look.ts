import type { AgentDto, RunMode } from "../../../sdk/src/index.ts";
import { readUsd, usd } from "../ui/usd.ts";
import type { Choice } from "./choice.ts";
import type { Source, Usual } from "./usual.ts";

export const MODES: Readonly<Record<RunMode, string>> = { auto: "Auto", ask: "Ask" };
const ORIGIN: Readonly<Record<Source, string>> = {
  session: "as before",
  made: "as set for this session",
  project: "from the project",
  service: "the usual one",
};

/** What a choice comes to, with the agents that there are. */
export interface Look {
  /** Undefined: it is not known, or no agent of this deployment. */
  agent: AgentDto | undefined;
  /** In effect. */
  mode: string;
  /** In a few words. */
  summary: string[];
  /** Where what is not chosen comes from. */
  origin: string;
  /** What each field says while nothing is chosen. */
  unchosen: { agent: string; model: string; mode: string };
  /** Whether there is more than one agent, model or mode. */
  hasChoices: boolean;
}

export function lookAt(agents: readonly AgentDto[], usual: Usual, value: Choice): Look {
  const titleOf = (name: string) => agents.find((one) => one.name === name)?.title ?? name;
  const say = (text: string, from: Source) => `${text} (${ORIGIN[from]})`;
  const usualAgent = usual.agent.value ?? agents.find((one) => one.default)?.name ?? null;
  const name = value.agent || usualAgent;
  const agent = agents.find((one) => one.name === name);
  // Another agent does not go on with a model of the one before.
  const model = name === usualAgent ? usual.model : { value: null, from: "service" as const };
  const budget = readUsd(value.budget_usd ?? "");
  const usualMode = usual.mode.value ?? "auto";
  const mode = value.mode || usualMode;
  const origins = [usual.agent, model, usual.mode].map(({ from }) => from);
  return {
    ...{ agent, mode },
    summary: [
      name === null ? "The usual agent" : titleOf(name),
      value.model.trim() || model.value,
      mode === "ask" ? "asks first" : null,
      value.max_turns && `at most ${value.max_turns} turns`,
      budget === undefined ? null : `at most ${usd(budget)}`,
    ].filter((part): part is string => part !== null && part !== ""),
    origin: ORIGIN[origins.find((from) => from !== "service") ?? "service"],
    unchosen: {
      agent: usualAgent === null ? "The usual one" : say(titleOf(usualAgent), usual.agent.from),
      model: model.value === null ? "Its own choice" : say(model.value, model.from),
      mode: say(MODES[usualMode], usual.mode.from),
    },
    hasChoices:
      agents.filter((one) => one.available).length > 1 ||
      (agent !== undefined && (agent.models.length > 1 || agent.modes.length > 1)),
  };
}
