import { useId, useRef, useState } from "react";
import { APIError, ConflictError, type PromptDto } from "../../../../sdk/src/index.ts";
import { client } from "../../api.ts";
import { Field } from "../../projects/field.tsx";
import { Button } from "../../ui/button.tsx";
import { complain, say } from "../../ui/notify.ts";
import { useStored } from "../../ui/stored.ts";
import { Time } from "../../ui/time.tsx";
import { NO_AMOUNT, readUsd, usd, usdOf } from "../../ui/usd.ts";
import { visible } from "../../ui/visible-text.ts";
import { PromptActions } from "../prompt-actions.ts";
import { TryNow } from "./try-now.tsx";

/** A prompt that waits for money: why, what it has cost, and how it goes on. */
export function BudgetWait({ prompt }: { prompt: PromptDto }) {
  const { waiting_budget: budget, waiting_reason: reason, next_attempt_at: until } = prompt;
  // What others have spent, too: a day's or a month's begins anew.
  const spent = until === null ? costOf(prompt) : budget?.spent_usd;
  return (
    <section
      className="outcome budget-wait"
      data-status="Waiting"
      data-question={prompt.id}
      tabIndex={-1}
      aria-label="The prompt waits for its budget"
    >
      <span className="badge" data-tone="warn">
        Waiting for its budget
      </span>
      {spent !== undefined && (
        <span className="muted">{usdOf(spent, budget?.limit_usd ?? prompt.budget_usd)} spent</span>
      )}
      {until !== null && (
        <span className="muted">
          Goes on by itself <Time at={until} />
        </span>
      )}
      <p className="budget-reason">{(budget && WHY[budget.scope]) ?? (reason !== null && visible(reason))}</p>
      {until === null ? <Raise prompt={prompt} /> : <TryNow prompt={prompt} />}
    </section>
  );
}

/** In few words: the service's own stand above the conversation. A budget that this page does not know has those alone. */
const WHY: Readonly<Record<string, string>> = {
  run: "What is left may not be enough for the next call of its model.",
  user_day: "Your budget of the day is used up.",
  user_month: "Your budget of the month is used up.",
  deployment_day: "The budget that all users of this service share is used up for today.",
};

/** What it has cost at least: calls that were under way when it was refused are counted since. */
const costOf = ({ usage, waiting_budget: budget }: PromptDto): number =>
  Math.max(usage?.["cost_usd"] ?? 0, budget?.scope === "run" ? (budget.spent_usd ?? 0) : 0);

/** Twice of what was allowed is offered: as much again. */
function suggestionFor(prompt: PromptDto): string {
  const allowed = Math.max(prompt.waiting_budget?.limit_usd ?? prompt.budget_usd ?? 0, costOf(prompt));
  const twice = Number((2 * allowed).toPrecision(3));
  const cents = twice.toFixed(2);
  if (twice === 0) return "";
  return Number(cents) === twice ? cents : String(twice);
}

/** Has the prompt go on with a higher budget. */
function Raise({ prompt }: { prompt: PromptDto }) {
  const { id } = prompt;
  const { changed } = PromptActions.use();
  const [typed, setTyped] = useStored<string | undefined>(`prompt-backend:budget:${id}`, undefined);
  const [fault, setFault] = useState<string>();
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const field = useId();
  const text = typed ?? suggestionFor(prompt);
  const spent = costOf(prompt);

  const refuse = (why: string) => {
    setFault(why);
    form.current?.querySelector("input")?.focus();
  };
  const raise = async () => {
    if (busy) return;
    const amount = readUsd(text);
    if (amount === undefined) return refuse(NO_AMOUNT);
    if (amount <= spent) return refuse(`More than the ${usd(spent)} that it has cost already.`);
    setBusy(true);
    setFault(undefined);
    try {
      await client.prompts.resume(id, { budget_usd: amount });
      setTyped(() => undefined);
    } catch (error) {
      // Somebody was faster, or has cancelled it.
      if (error instanceof ConflictError) void say(`The budget was not raised. ${error.msg}`);
      else if (error instanceof APIError && FIELD.test(error.msg)) refuse(error.msg.replace(FIELD, ""));
      else void complain("The budget was not raised", error);
    }
    await changed();
    setBusy(false);
  };

  return (
    <form
      ref={form}
      className="budget-raise"
      onSubmit={(event) => {
        event.preventDefault();
        void raise();
      }}
    >
      <Field
        id={field}
        label="New budget in US dollars"
        hint={`What the prompt may cost in all, with the ${usd(spent)} that it has cost.`}
        error={fault}
      >
        {(state) => (
          <input
            {...state}
            className="input"
            inputMode="decimal"
            autoComplete="off"
            value={text}
            onChange={({ target }) => {
              setTyped(() => target.value);
              setFault(undefined);
            }}
          />
        )}
      </Field>
      <Button look="primary" type="submit" busy={busy}>
        Raise and resume
      </Button>
    </form>
  );
}

/** How the service's sentences about the field begin. */
const FIELD = /^(?:body\.)?budget_usd: /;
