import { Button } from "../ui/button.tsx";
import { takeFocus } from "../ui/take-focus.ts";
import { type Form, LABELS } from "./form.ts";

/** Says that somebody else has saved the project while it was changed here, and offers what leads on. */
export function StaleNotice(options: {
  /** Whether it answers a press of Save, which is far below: then it takes the focus, and so comes into view. */
  focus: boolean;
  contested: readonly (keyof Form)[];
  onLoad: () => void;
  onDiscard: () => void;
}) {
  const { focus, contested, onLoad, onDiscard } = options;
  return (
    <div className="problem project-notice" role="alert">
      <h2 tabIndex={-1} ref={focus ? takeFocus : undefined}>
        This project was changed elsewhere meanwhile
      </h2>
      <p>
        Nothing of yours was saved yet, and what you typed is still here. Load the other changes, look, and
        save again.
        {contested.length > 0 &&
          ` Both have changed: ${contested.map((field) => LABELS[field]).join(", ")}. What you typed stays there, and would replace the other.`}
      </p>
      <div className="project-actions">
        <Button look="primary" onClick={onLoad}>
          Load the other changes
        </Button>
        <Button onClick={onDiscard}>Discard mine</Button>
      </div>
    </div>
  );
}
