import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import type { DlqDto } from "../../../sdk/src/index.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { complain, say } from "../ui/notify.ts";
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
  const work = useMutation({
    mutationFn: () => decide(decision, { ids: entries.map(({ id }) => id), notes, onProgress: setThrough }),
    onSuccess: async (outcome) => {
      if (outcome.done > 0) void say(`${done}: ${entriesIn(outcome.done)}`);
      if (outcome.failed > 0) void complain(`${entriesIn(outcome.failed)} stayed as before`, outcome.error);
    },
    onError: (error) => complain(`Not all of ${entriesIn(entries.length)} were decided`, error),
    onSettled: async () => {
      onDone();
      await queries.invalidateQueries({ queryKey: ["dead-letters"] });
    },
  });
  const start = () => {
    if (!work.isPending) work.mutate();
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
    </Dialog>
  );
}
