import { useQuery } from "@tanstack/react-query";
import { Suggest } from "../new/suggest.tsx";
import { Field } from "./field.tsx";
import type { FieldName, Form } from "./form.ts";
import { agentsQuery } from "./queries.ts";

/** Who works on the repository and how, where a prompt says nothing else. */
export function AgentFields(options: {
  form: Form;
  change: (part: Partial<Form>) => void;
  errorOf: (field: FieldName) => string | undefined;
}) {
  const { form, change, errorOf } = options;
  const { data } = useQuery(agentsQuery);
  const agents = data?.agents ?? [];
  const usual = agents.find((one) => one.default);
  const chosen = agents.find(({ name }) => name === form.agent) ?? (form.agent === "" ? usual : undefined);
  return (
    <div className="project-pair">
      <Field
        id="project-agent"
        label="Agent"
        hint={chosen?.reason ?? "Of prompts that name none."}
        error={errorOf("agent")}
      >
        {(state) => (
          <select
            {...state}
            className="input"
            value={form.agent}
            onChange={(event) => change({ agent: event.target.value })}
          >
            <option value="">{usual ? `The usual one (${usual.title})` : "The usual one"}</option>
            {agents.map(({ name, title, available }) => (
              <option key={name} value={name}>
                {available ? title : `${title} (not available now)`}
              </option>
            ))}
            {form.agent !== "" && !agents.some(({ name }) => name === form.agent) && (
              <option value={form.agent}>{form.agent}</option>
            )}
          </select>
        )}
      </Field>
      <Suggest
        id="project-model"
        label="Model"
        placeholder="The agent's own choice"
        value={form.model}
        onChange={(model) => change({ model })}
        items={(chosen?.models ?? []).map((value) => ({ value, hint: "" }))}
        hint="Of prompts that name none."
        error={errorOf("model")}
      />
      <Field
        id="project-mode"
        label="Mode"
        hint={
          form.mode === "ask" && chosen && !chosen.modes.includes("ask")
            ? `${chosen.title} cannot ask.`
            : "Ask: you answer before it acts."
        }
        error={errorOf("mode")}
      >
        {(state) => (
          <select
            {...state}
            className="input"
            value={form.mode}
            onChange={(event) => change({ mode: event.target.value })}
          >
            <option value="">The usual one (auto)</option>
            <option value="auto">Auto: it works without questions</option>
            <option value="ask">Ask: it asks before it acts</option>
          </select>
        )}
      </Field>
      <Field
        id="project-pull-request"
        label="Pull request"
        hint="After a run whose branch was pushed."
        error={errorOf("pull_request")}
      >
        {(state) => (
          <select
            {...state}
            className="input"
            value={form.pull_request}
            onChange={(event) => change({ pull_request: event.target.value })}
          >
            <option value="">As this service does it</option>
            <option value="manual">Only when somebody asks for it</option>
            <option value="draft">A draft</option>
            <option value="auto">One that is ready for review</option>
          </select>
        )}
      </Field>
      <Field
        id="project-budget"
        label="Budget in US dollars"
        hint="What each prompt may cost at most; one may be sent with less. Before it costs more, it waits for you to raise it."
        error={errorOf("budget_usd")}
      >
        {(state) => (
          <input
            {...state}
            className="input"
            inputMode="decimal"
            autoComplete="off"
            placeholder="None"
            value={form.budget_usd}
            onChange={(event) => change({ budget_usd: event.target.value })}
          />
        )}
      </Field>
    </div>
  );
}
