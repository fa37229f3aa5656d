import { useRef } from "react";
import type { ProjectDto } from "../../../sdk/src/index.ts";
import { Button } from "../ui/button.tsx";
import { newKey } from "../ui/new-key.ts";
import { takeFocus } from "../ui/take-focus.ts";
import { Time } from "../ui/time.tsx";
import { Wrong } from "./field.tsx";
import type { Fault } from "./form.ts";
import type { SecretEdit } from "./secrets.ts";

/** Secrets: names of those that are set, whose values nobody gets back, and what shall become of them. */
export function SecretsField(options: {
  secrets: ProjectDto["secrets"];
  edits: readonly SecretEdit[];
  onChange: (edits: SecretEdit[]) => void;
  faults: readonly Fault[];
}) {
  const { secrets, edits, onChange, faults } = options;
  const added = useRef<string>(undefined);
  const wrongWith = (name: string) => faults.find((one) => one.name === name.trim())?.text;
  const drop = (key: string) => {
    document.getElementById("add-secret")?.focus();
    onChange(edits.filter((one) => one.key !== key));
  };
  const set = (key: string, part: Partial<SecretEdit>) =>
    onChange(edits.map((one) => (one.key === key ? { ...one, ...part } : one)));
  const begin = (edit: Omit<SecretEdit, "key">) => {
    added.current = newKey();
    onChange([...edits, { ...edit, key: added.current }]);
  };
  const shown = [...secrets.map(({ name }) => name), ...edits.map(({ name }) => name.trim())];
  return (
    <fieldset className="project-rows">
      <legend>Secrets</legend>
      <p className="hint muted">
        Variables whose values are sealed and never shown again, and replaced in what agents print. What you
        type here is kept nowhere until you save.
      </p>
      <ul className="project-secrets">
        {secrets.map(({ name, updated_at: at }) => {
          const edit = edits.find((one) => one.known && one.name === name);
          return (
            <li key={name}>
              <div className="project-secret">
                <code>{name}</code>
                <span className="muted">
                  {edit?.value === null ? (
                    "removed when you save"
                  ) : (
                    <>
                      set <Time at={at} />
                    </>
                  )}
                </span>
                {edit ? (
                  <Button look="quiet" aria-label={`Keep ${name} as it is`} onClick={() => drop(edit.key)}>
                    Keep as it is
                  </Button>
                ) : (
                  <>
                    <Button
                      look="quiet"
                      aria-label={`Replace ${name}`}
                      onClick={() => begin({ name, value: "", known: true })}
                    >
                      Replace
                    </Button>
                    <Button
                      look="quiet"
                      aria-label={`Remove ${name}`}
                      onClick={() => {
                        document.getElementById("add-secret")?.focus();
                        begin({ name, value: null, known: true });
                      }}
                    >
                      Remove
                    </Button>
                  </>
                )}
              </div>
              {typeof edit?.value === "string" && (
                <Value
                  label={`New value of ${name}`}
                  value={edit.value}
                  focus
                  wrong={wrongWith(name)}
                  onChange={(value) => set(edit.key, { value })}
                />
              )}
            </li>
          );
        })}
      </ul>
      {edits
        .filter(({ known }) => !known)
        .map((edit, index) => {
          const what = edit.name.trim() || `new secret ${index + 1}`;
          const wrong = wrongWith(edit.name);
          return (
            <div key={edit.key} className="project-row">
              <input
                className="input mono"
                aria-label={`Name of new secret ${index + 1}`}
                ref={added.current === edit.key ? takeFocus : undefined}
                value={edit.name}
                placeholder="NAME"
                autoComplete="off"
                autoCapitalize="off"
                spellCheck={false}
                aria-invalid={wrong === undefined ? undefined : true}
                aria-describedby={wrong === undefined ? undefined : `secret-${edit.key}`}
                onChange={(event) => set(edit.key, { name: event.target.value })}
              />
              <Value
                label={`Value of ${what}`}
                value={edit.value ?? ""}
                onChange={(value) => set(edit.key, { value })}
              />
              <Button look="quiet" aria-label={`Remove ${what}`} onClick={() => drop(edit.key)}>
                Remove
              </Button>
              {wrong !== undefined && <Wrong id={`secret-${edit.key}`} text={wrong} />}
            </div>
          );
        })}
      {faults
        .filter(({ name }) => name === undefined || !shown.includes(name))
        .map(({ text }) => (
          <Wrong key={text} id="secrets-wrong" text={text} />
        ))}
      <Button id="add-secret" onClick={() => begin({ name: "", value: "", known: false })}>
        Add a secret
      </Button>
    </fieldset>
  );
}

/** The value of a secret: hidden, and offered to no memory of the browser. */
function Value(options: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  focus?: boolean;
  wrong?: string | undefined;
}) {
  const { label, value, onChange, focus = false, wrong } = options;
  const lines = value.split("\n").length;
  return (
    <div className="project-value">
      <input
        type="password"
        className="input mono"
        aria-label={label}
        ref={focus ? takeFocus : undefined}
        value={value}
        placeholder="value"
        autoComplete="off"
        data-1p-ignore
        data-lpignore="true"
        spellCheck={false}
        aria-invalid={wrong === undefined ? undefined : true}
        onChange={(event) => onChange(event.target.value)}
        onPaste={(event) => {
          // A field of one line would join the lines of a key.
          const text = event.clipboardData.getData("text").replace(/\r\n/g, "\n");
          if (!text.includes("\n")) return;
          event.preventDefault();
          onChange(text);
        }}
      />
      {lines > 1 && <span className="hint muted">{lines} lines were pasted; typing joins them.</span>}
      {wrong !== undefined && <Wrong id={`wrong-${label}`} text={wrong} />}
    </div>
  );
}
