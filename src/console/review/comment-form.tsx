import { useId, useState } from "react";
import { Button } from "../ui/button.tsx";
import { useBorrowedFocus } from "../ui/take-focus.ts";

const MAX_TEXT = 10_000;

/** Writes a comment. Ctrl-Enter saves it, Escape gives it up if nothing was written. */
export function CommentForm(options: {
  label: string;
  text: string;
  onText: (text: string) => void;
  onSave: () => Promise<void>;
  onCancel: () => void;
  action: string;
}) {
  const { label, text, onText, onSave, onCancel, action } = options;
  const [busy, setBusy] = useState(false);
  const [isNew] = useState(text === "");
  const field = useBorrowedFocus<HTMLTextAreaElement>(isNew);
  const id = useId();
  const save = async () => {
    if (busy || text.trim() === "") return;
    setBusy(true);
    await onSave();
    setBusy(false);
  };
  return (
    <form
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
        ref={field}
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
