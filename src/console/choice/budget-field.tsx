import { useQuery } from "@tanstack/react-query";
import { meQuery } from "../new/queries.ts";
import { Field } from "../projects/field.tsx";
import { projectsQuery } from "../projects/queries.ts";
import { projectFor } from "../projects/repository.ts";
import { NO_AMOUNT, readUsd, usd } from "../ui/usd.ts";

/** What one prompt may cost. What is typed and cannot be right is said at once; the service has the last word. */
export function BudgetField(options: {
  id: string;
  /** What the last attempt to send it was refused for. */
  error: string | undefined;
  /** Whose project has a budget of its own, perhaps. */
  repo: string;
  value: string;
  onChange: (value: string) => void;
}) {
  const { id, error, repo, value, onChange } = options;
  const limits = useQuery(meQuery).data?.limits;
  const projects = useQuery(projectsQuery);
  const ofProject = projectFor(projects.data, repo)?.budget_usd ?? null;
  const most = lower(ofProject, limits?.prompt_budget_usd ?? null);
  const isProjects = most !== null && most === ofProject;
  const left = limits?.budget_left_usd ?? null;
  return (
    <Field
      id={id}
      label="Budget in US dollars"
      error={error ?? budgetFault(value, most, isProjects)}
      hint={[
        `Of this prompt alone${most === null ? "" : `, at most ${usd(most)}`}. Before it costs more, it waits for you to raise it.`,
        ...(left === null ? [] : [`${usd(left)} of your own budget is left.`]),
      ].join(" ")}
    >
      {(state) => (
        <input
          {...state}
          className="input"
          inputMode="decimal"
          autoComplete="off"
          value={value}
          placeholder={
            most === null
              ? "Any amount"
              : `${usd(most)} (${isProjects ? "from the project" : "the usual one"})`
          }
          onChange={({ target }) => onChange(target.value)}
        />
      )}
    </Field>
  );
}

/** Null: no limit. */
const lower = (one: number | null, other: number | null): number | null =>
  one === null || other === null ? (one ?? other) : Math.min(one, other);

/** @param text of which more may follow: a 0 is no fault yet. */
function budgetFault(text: string, most: number | null, isProjects: boolean): string | undefined {
  if (/^[\s$]*[0.]*$/.test(text)) return undefined;
  const amount = readUsd(text);
  if (amount === undefined) return NO_AMOUNT;
  if (most === null || amount <= most) return undefined;
  return `A prompt may cost at most ${usd(most)} ${isProjects ? "by its project's settings" : "here"}.`;
}
