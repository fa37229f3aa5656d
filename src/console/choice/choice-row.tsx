import { useQuery } from "@tanstack/react-query";
import { useEffect, useId, useRef, useState } from "react";
import { agentsQuery } from "../projects/queries.ts";
import { Icon } from "../shell/icons.tsx";
import { type Choice, choiceFault, isChosen } from "./choice.ts";
import { ChoiceFields } from "./choice-fields.tsx";
import { lookAt } from "./look.ts";
import type { Usual } from "./usual.ts";

/**
 * Who works on a prompt and how: a line that says it, and below it, when it is opened, the fields to choose it by. A refusal of the
 * service opens it and leads to its field.
 */
export function ChoiceRow(options: {
  value: Choice;
  onChange: (value: Choice) => void;
  usual: Usual | undefined;
  /** Of the session that it is for. */
  repo: string;
  /** Why the last attempt to send it failed. */
  error: unknown;
  /** Shows the fields at first, if there is something to choose. */
  open?: boolean;
}) {
  const { value, onChange, usual, repo, error, open = false } = options;
  const { data, isPending } = useQuery(agentsQuery);
  /** As its user, or a refusal, had it last. */
  const [toggled, setToggled] = useState<{ isOpen: boolean; error: unknown }>();
  const own = useRef<HTMLFieldSetElement>(null);
  const fields = useId();
  const fault = useFault(error, value);
  const text = fault?.text;
  const isShown = usual !== undefined && !isPending;
  useEffect(() => {
    // A refusal can be there before the agents are.
    if (text === undefined || !isShown) return;
    // It stays open when what was wrong is changed.
    setToggled({ isOpen: true, error });
    own.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [text, error, isShown]);

  // Its room is there from the beginning, so that nothing moves when it is known.
  if (!isShown)
    return (
      <div className="choice">
        <p className="choice-line" />
      </div>
    );
  const agents = data?.agents ?? [];
  const look = lookAt(agents, usual, value);
  const isNews = fault !== undefined && toggled?.error !== error;
  const isOpen = isNews || (toggled?.isOpen ?? (open && look.hasChoices));
  return (
    <fieldset
      ref={own}
      className="choice"
      onKeyDown={(event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        event.stopPropagation();
        event.currentTarget.form?.requestSubmit();
      }}
    >
      <legend className="visually-hidden">Agent, model, mode and limits</legend>
      <button
        type="button"
        className="choice-line"
        aria-expanded={isOpen}
        aria-controls={isOpen ? fields : undefined}
        onClick={() => setToggled({ isOpen: !isOpen, error })}
      >
        <Icon name="chevron" />
        <span>
          {look.summary.join(" · ")}{" "}
          <span className="muted">({isChosen(value) ? "your choice" : look.origin})</span>
        </span>
      </button>
      {isOpen && (
        <div id={fields} className="choice-fields">
          <ChoiceFields {...{ agents, value, onChange, look, repo, fault }} />
        </div>
      )}
    </fieldset>
  );
}

/** What is wrong with the choice, until it is changed. */
function useFault(error: unknown, value: Choice) {
  const sent = useRef({ error, value });
  if (sent.current.error !== error) sent.current = { error, value };
  return sent.current.value === value ? choiceFault(error) : undefined;
}
