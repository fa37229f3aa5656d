import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useId, useRef, useState } from "react";
import type { DlqDto } from "../../../sdk/src/index.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { complain, say } from "../ui/notify.ts";
import { Problem } from "../ui/problem.tsx";
import { DECISIONS, type Decision, decide } from "./decision.ts";

const MAX_NOTES = 10_000;
const entriesIn = (count: number) => (count === 1 ? "1 dead letter" : `${count} dead letters`);

/** Says what will happen, asks for notes, and does it: none of this can be undone. */
export function DecideDialog(options: {
  decision: Decision;
  entries: readonly DlqDto[];
  onClose: () => void;
  onDone: () => void;
}) {
  const { decision, entries, onClose, onDone } = options;
  const { verb, done, happens } = DECISIONS[decision];
  const [notes, setNotes] = useState("");
  const [through, setThrough] = useState(0);
  const queries = useQueryClient();
  const notesId = useId();
  const closed = useRef(false);
  useEffect(() => {
    closed.current = false;
    return () => {
      closed.current = true;
    };
  }, []);
  const failure =
    entries.length === 1 ? "Nothing was decided" : `Not all of ${entriesIn(entries.length)} were decided`;
  const work = useMutation({
    // After a failure it goes on with those that are not through.
    mutationFn: () =>
      decide(decision, {
        ids: entries.slice(through).map(({ id }) => id),
        notes,
        onProgress: (more) => setThrough(through + more),
      }),
    onSuccess: (outcome) => {
      if (outcome.done > 0) void say(`${done}: ${entriesIn(outcome.done)}`);
      if (outcome.failed > 0) void complain(`${entriesIn(outcome.failed)} stayed as before`, outcome.error);
    },
    onError: (error) => {
      if (closed.current) void complain(failure, error);
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["dead-letters"] }),
  });
  const start = () => {
    // Once this dialog is closed, another one may be open.
    if (!work.isPending) work.mutate(undefined, { onSuccess: onDone });
  };

  return (
    <Dialog
      onClose={onClose}
      title={`${verb} ${entriesIn(entries.length)}?`}
      actions={
        <Button look={decision === "abandon" ? "danger" : "primary"} busy={work.isPending} onClick={start}>
          {verb}
        </Button>
      }
    >
      <p>{happens}</p>
      <p>
        <strong>This cannot be undone.</strong> Who did it, when and the notes are kept with the entry.
      </p>
      <div className="field">
        <label htmlFor={notesId}>Notes</label>
        <textarea
          id={notesId}
          className="input"
          rows={3}
          maxLength={MAX_NOTES}
          value={notes}
          aria-describedby={`${notesId}-hint`}
          onChange={(event) => setNotes(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) start();
          }}
        />
        <span id={`${notesId}-hint`} className="hint">
          Optional: the reason. Ctrl Enter goes on.
        </span>
      </div>
      <p role="status" className="muted">
        {work.isPending && entries.length > 1 ? `${through} of ${entries.length} done …` : ""}
      </p>
      {work.error !== null && <Problem title={failure} error={work.error} />}
    </Dialog>
  );
}
