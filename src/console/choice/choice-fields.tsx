import { useId } from "react";
import type { AgentDto } from "../../../sdk/src/index.ts";
import { Field } from "../projects/field.tsx";
import { BudgetField } from "./budget-field.tsx";
import { type Choice, type ChoiceField, NO_CHOICE } from "./choice.ts";
import { type Look, MODES } from "./look.ts";

/** The fields of a choice. What is refused stands below its field. */
export function ChoiceFields(options: {
  agents: readonly AgentDto[];
  value: Choice;
  onChange: (value: Choice) => void;
  look: Look;
  repo: string;
  fault: { field: ChoiceField; text: string } | undefined;
}) {
  const { agents, value, onChange, look, repo, fault } = options;
  const { agent, unchosen } = look;
  const id = useId();
  const set = (part: Partial<Choice>) => onChange({ ...value, ...part });
  const of = (field: ChoiceField) => ({
    id: `${id}-${field}`,
    error: fault?.field === field ? fault.text : undefined,
  });
  const models = agent?.models ?? [];
  const modes = agent?.modes ?? (["auto", "ask"] as const);
  return (
    <>
      <Field {...of("agent")} label="Agent" hint={agent?.reason ?? ""}>
        {(state) => (
          <select
            {...state}
            className="input"
            value={value.agent}
            // Models and modes are an agent's own.
            onChange={({ target }) =>
              onChange({
                ...NO_CHOICE,
                ...{ max_turns: value.max_turns, budget_usd: value.budget_usd, agent: target.value },
              })
            }
          >
            <option value="">{unchosen.agent}</option>
            {agents.map(({ name, title, available, reason }) => (
              <option key={name} value={name} disabled={!available}>
                {available ? title : reasonOf(title, reason)}
              </option>
            ))}
            <Unlisted value={value.agent} listed={agents.map(({ name }) => name)} />
          </select>
        )}
      </Field>
      <Field {...of("model")} label="Model" hint="">
        {(state) =>
          models.length === 0 ? (
            <input
              {...state}
              className="input mono"
              value={value.model}
              placeholder={unchosen.model}
              autoComplete="off"
              autoCapitalize="off"
              spellCheck={false}
              onChange={({ target }) => set({ model: target.value })}
            />
          ) : (
            <select
              {...state}
              className="input"
              value={value.model}
              onChange={({ target }) => set({ model: target.value })}
            >
              <option value="">{unchosen.model}</option>
              {models.map((model) => (
                <option key={model}>{model}</option>
              ))}
              <Unlisted value={value.model} listed={models} />
            </select>
          )
        }
      </Field>
      <Field {...of("mode")} label="Mode" hint={aboutMode(look, value)}>
        {(state) => (
          <select
            {...state}
            className="input"
            value={value.mode}
            onChange={({ target }) => set({ mode: target.value })}
          >
            <option value="">{unchosen.mode}</option>
            {modes.map((mode) => (
              <option key={mode} value={mode}>
                {MODES[mode]}
              </option>
            ))}
            <Unlisted value={value.mode} listed={modes} />
          </select>
        )}
      </Field>
      <Field
        {...of("max_turns")}
        label="Most turns"
        hint={
          agent?.max_turns === false
            ? `${agent.title} cannot be held to a number of turns.`
            : "Of this prompt alone; the next ones go on with the rest."
        }
      >
        {(state) => (
          <input
            {...state}
            className="input"
            inputMode="numeric"
            value={value.max_turns}
            placeholder="Any number"
            autoComplete="off"
            onChange={({ target }) => set({ max_turns: target.value.replace(/\D/g, "") })}
          />
        )}
      </Field>
      <BudgetField
        {...of("budget_usd")}
        repo={repo}
        value={value.budget_usd ?? ""}
        onChange={(budget) => set({ budget_usd: budget })}
      />
    </>
  );
}

/** What a draft has of before, and the agent no longer has: it shows, and the service says what it makes of it. */
const Unlisted = ({ value, listed }: { value: string; listed: readonly string[] }) =>
  value !== "" && !listed.includes(value) ? <option>{value}</option> : null;

/** Most reasons begin with the title. */
const reasonOf = (title: string, reason: string | null) =>
  reason?.startsWith(title) ? reason : `${title}: ${reason ?? "not available"}`;

function aboutMode({ agent, mode }: Look, value: Choice): string {
  if (!agent || agent.modes.includes("ask"))
    return "Ask: before it does what could do harm, it waits for your answer.";
  return mode === "ask" && value.mode === ""
    ? `${agent.title} cannot ask: choose Auto, or another agent.`
    : `${agent.title} works without asking.`;
}
