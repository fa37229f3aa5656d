import type { ReactNode } from "react";

export interface FieldState {
  id: string;
  "aria-invalid": true | undefined;
  "aria-describedby": string;
}

/** A field with its label, and a hint below it, in whose place stands what is wrong. */
export function Field(options: {
  id: string;
  label: string;
  hint: ReactNode;
  error: string | undefined;
  /** Gets the attributes of the control. */
  children: (state: FieldState) => ReactNode;
}) {
  const { id, label, hint, error, children } = options;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({
        id,
        "aria-invalid": error === undefined ? undefined : true,
        "aria-describedby": `${id}-hint`,
      })}
      <p className="hint" id={`${id}-hint`} data-error={error !== undefined || undefined}>
        {error ?? hint}
      </p>
    </div>
  );
}

/** What is wrong with a row, or with the list as a whole. */
export function Wrong({ id, text }: { id: string; text: string | undefined }) {
  return (
    <p className="hint project-wrong" id={id} data-error>
      {text}
    </p>
  );
}
