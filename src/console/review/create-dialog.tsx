import { useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { APIError, type SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { complain, say } from "../ui/notify.ts";
import { Problem } from "../ui/problem.tsx";
import { visible } from "../ui/visible-text.ts";
import { reviewKey } from "./queries.ts";

/** Creates the session's pull request. */
export function CreateDialog({ session, onClose }: { session: SessionDto; onClose: () => void }) {
  const queries = useQueryClient();
  const [title, setTitle] = useState(session.title);
  const [body, setBody] = useState("");
  const [draft, setDraft] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const id = useId();
  const done = async (message: string) => {
    await queries.invalidateQueries({ queryKey: reviewKey(session.id) });
    onClose();
    await say(message);
  };
  const create = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const { message } = await client.sessions.createPullRequest(session.id, {
        ...(title.trim() !== "" && { title }),
        ...(body.trim() !== "" && { body }),
        draft,
      });
      await done(message);
    } catch (reason) {
      setError(reason);
      setBusy(false);
    }
  };
  const push = async () => {
    try {
      await done((await client.sessions.push(session.id)).message);
    } catch (reason) {
      await complain("The branch was not pushed", reason);
    }
  };
  return (
    <Dialog
      title="Create a pull request"
      onClose={onClose}
      actions={
        <Button look="primary" busy={busy} onClick={() => void create()}>
          Create
        </Button>
      }
    >
      <p>
        Of <code>{visible(session.branch)}</code> into <code>{visible(session.targetBranch)}</code>.
      </p>
      <div className="field">
        <label htmlFor={`${id}-title`}>Title</label>
        <input
          id={`${id}-title`}
          className="input"
          maxLength={200}
          value={title}
          onChange={({ target }) => setTitle(target.value)}
        />
      </div>
      <div className="field">
        <label htmlFor={`${id}-body`}>Description</label>
        <textarea
          id={`${id}-body`}
          className="input"
          rows={6}
          maxLength={60_000}
          placeholder="Empty: what was asked, what was done, how to check it"
          value={body}
          onChange={({ target }) => setBody(target.value)}
        />
      </div>
      <label className="check">
        <input type="checkbox" checked={draft} onChange={({ target }) => setDraft(target.checked)} />
        As a draft
      </label>
      {error !== undefined && (
        <>
          <Problem title="There is no pull request" error={error} />
          {error instanceof APIError && error.code === "branch_not_pushed" && (
            <Button onClick={() => void push()}>Push the branch</Button>
          )}
        </>
      )}
    </Dialog>
  );
}
