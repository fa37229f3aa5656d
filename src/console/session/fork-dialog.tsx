import { useNavigate } from "@tanstack/react-router";
import { useId, useState } from "react";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Problem } from "../ui/problem.tsx";

/** Makes a session that goes on from the end of a prompt of this one, and opens it. */
export default function ForkDialog(options: {
  session: SessionDto;
  /** Undefined: the one that has ended last. */
  promptId: string | undefined;
  onClose: () => void;
}) {
  const { session, promptId, onClose } = options;
  const navigate = useNavigate();
  const [title, setTitle] = useState(`Fork of ${session.title}`.slice(0, 500));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const id = useId();

  const fork = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const from = promptId === undefined ? {} : { prompt_id: promptId };
      const { id } = await client.sessions.fork(session.id, { ...from, title: title.trim() });
      onClose();
      await navigate({ to: "/s/$id", params: { id } });
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };

  return (
    <Dialog
      title="Fork the session"
      onClose={onClose}
      actions={
        <Button look="primary" type="submit" form={id} busy={busy} disabled={title.trim() === ""}>
          Fork
        </Button>
      }
    >
      <form
        id={id}
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy && title.trim() !== "") void fork();
        }}
      >
        <p>
          A new session goes on from{" "}
          {promptId === undefined ? "the last prompt that has ended" : "the end of this prompt"}: with its
          commits, on a branch of its own, and with the conversation until then. This session stays as it is.
        </p>
        <div className="field">
          <label htmlFor={`${id}-title`}>Title</label>
          <input
            id={`${id}-title`}
            className="input"
            maxLength={500}
            value={title}
            onChange={(event) => setTitle(event.target.value)}
          />
        </div>
        {error !== undefined && <Problem title="The session was not forked" error={error} />}
      </form>
    </Dialog>
  );
}
