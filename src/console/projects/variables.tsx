import { useRef } from "react";
import { Button } from "../ui/button.tsx";
import { newKey } from "../ui/new-key.ts";
import { takeFocus } from "../ui/take-focus.ts";
import { Wrong } from "./field.tsx";
import type { Fault, Variable } from "./form.ts";

/** Variables, a row each. */
export function Variables(options: {
  value: readonly Variable[];
  onChange: (value: Variable[]) => void;
  faults: readonly Fault[];
}) {
  const { value, onChange, faults } = options;
  const added = useRef<string>(undefined);
  const set = (key: string, part: Partial<Variable>) =>
    onChange(value.map((one) => (one.key === key ? { ...one, ...part } : one)));
  const faultOf = ({ name }: Variable) => faults.find((one) => one.name === name.trim())?.text;
  const names = value.map(({ name }) => name.trim());
  return (
    <fieldset className="project-rows">
      <legend>Environment</legend>
      <p className="hint muted">
        Variables of the agent and of the setup command. Everybody with your sign-in can read them: what is
        secret belongs below.
      </p>
      {value.map((one, index) => {
        const wrong = faultOf(one);
        const what = one.name.trim() || `variable ${index + 1}`;
        return (
          <div key={one.key} className="project-row">
            <input
              className="input mono"
              aria-label={`Name of variable ${index + 1}`}
              ref={added.current === one.key ? takeFocus : undefined}
              value={one.name}
              placeholder="NAME"
              autoComplete="off"
              autoCapitalize="off"
              spellCheck={false}
              aria-invalid={wrong === undefined ? undefined : true}
              aria-describedby={wrong === undefined ? undefined : `variable-${one.key}`}
              onChange={(event) => set(one.key, { name: event.target.value })}
            />
            <textarea
              className="input mono"
              aria-label={`Value of ${what}`}
              rows={1}
              value={one.value}
              placeholder="value"
              autoCapitalize="off"
              spellCheck={false}
              onChange={(event) => set(one.key, { value: event.target.value })}
            />
            <Button
              look="quiet"
              aria-label={`Remove ${what}`}
              onClick={() => {
                document.getElementById("add-variable")?.focus();
                onChange(value.filter(({ key }) => key !== one.key));
              }}
            >
              Remove
            </Button>
            {wrong !== undefined && <Wrong id={`variable-${one.key}`} text={wrong} />}
          </div>
        );
      })}
      {faults
        .filter(({ name }) => name === undefined || !names.includes(name))
        .map(({ text }) => (
          <Wrong key={text} id="environment-wrong" text={text} />
        ))}
      <Button
        id="add-variable"
        onClick={() => {
          added.current = newKey();
          onChange([...value, { key: added.current, name: "", value: "" }]);
        }}
      >
        Add a variable
      </Button>
    </fieldset>
  );
}
