import { useId, useState } from "react";
import { Button } from "../ui/button.tsx";
import { takeFocus, useReturnFocus } from "../ui/take-focus.ts";

const MAX_TEXT = 10_000;

/** Writes a comment. Ctrl-Enter saves it, Escape gives it up if nothing was written. */
export function CommentForm(options: {
  label: string;
  text: string;
  onText: (text: string) => void;
  onSave: () => Promise<void>;
  onCancel: () => void;
  action: string;
  /** Its user has just asked for it; what was kept over a reload does not take the focus. */
  asked: boolean;
}) {
  const { label, text, onText, onSave, onCancel, action, asked } = options;
  const [busy, setBusy] = useState(false);
  const [isNew] = useState(asked);
  const id = useId();
  const form = useReturnFocus<HTMLFormElement>();
  const save = async () => {
    if (busy || text.trim() === "") return;
    setBusy(true);
    await onSave();
    setBusy(false);
  };
  return (
    <form
      ref={form}
      className="comment-form"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
      onKeyDown={(event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void save();
        else if (event.key === "Escape" && text.trim() === "") onCancel();
        else return;
        event.preventDefault();
      }}
    >
      <label htmlFor={id}>{label}</label>
      <textarea
        id={id}
        className="input"
        rows={3}
        maxLength={MAX_TEXT}
        value={text}
        readOnly={busy}
        ref={isNew ? takeFocus : undefined}
        onChange={({ target }) => onText(target.value)}
      />
      <div className="comment-actions">
        <Button type="submit" look="primary" busy={busy} disabled={text.trim() === ""}>
          {action}
        </Button>
        <Button look="quiet" onClick={onCancel}>
          Cancel
        </Button>
        <span className="muted">
          <kbd>Ctrl</kbd> <kbd>Enter</kbd>
        </span>
      </div>
    </form>
  );
}
