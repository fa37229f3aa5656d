import { useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { APIError, type SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { say } from "../ui/notify.ts";
import { Problem } from "../ui/problem.tsx";
import { useStored } from "../ui/stored.ts";
import { visible } from "../ui/visible-text.ts";
import { useAttempt } from "./attempt.ts";
import { reviewKey } from "./queries.ts";

/** Creates the session's pull request. */
export function CreateDialog({ session, onClose }: { session: SessionDto; onClose: () => void }) {
  const queries = useQueryClient();
  const [title, setTitle] = useState(session.title);
  const [body, setBody] = useStored(`prompt-backend:pull-request-text:${session.id}`, "");
  const [draft, setDraft] = useState(false);
  const { busy, error, attempt } = useAttempt("There is no pull request");
  const pushing = useAttempt("The branch was not pushed");
  const id = useId();
  const done = async (message: string, isOpen: () => boolean) => {
    await queries.invalidateQueries({ queryKey: reviewKey(session.id) });
    if (isOpen()) onClose();
    await say(message);
  };
  const create = () =>
    attempt(async (isOpen) => {
      const { message } = await client.sessions.createPullRequest(session.id, {
        ...(title.trim() !== "" && { title }),
        ...(body.trim() !== "" && { body }),
        draft,
      });
      setBody(() => "");
      await done(message, isOpen);
    });
  const push = () =>
    pushing.attempt(async (isOpen) => done((await client.sessions.push(session.id)).message, isOpen));
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
          readOnly={busy}
          onChange={({ target }) => setBody(() => target.value)}
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
            <Button busy={pushing.busy} onClick={() => void push()}>
              Push the branch
            </Button>
          )}
          {pushing.error !== undefined && <Problem title="The branch was not pushed" error={pushing.error} />}
        </>
      )}
    </Dialog>
  );
}
