import { memo, useId, useState } from "react";
import type { PromptDto } from "../../../../sdk/src/index.ts";
import { client } from "../../api.ts";
import { Sent } from "../../attachments/sent.tsx";
import { sentAttachments, withText } from "../../attachments/sent-attachments.ts";
import { Button } from "../../ui/button.tsx";
import { complain } from "../../ui/notify.ts";
import { promptText } from "../../ui/prompt-text.ts";
import { Time } from "../../ui/time.tsx";
import { choiceOf } from "../choice.ts";
import { PromptActions } from "../prompt-actions.ts";
import type { PromptRow } from "../rows/row.ts";

/** A prompt of another kind has no text of a user. */
const TITLES = { agent: "", push: "Push the branch", sync: "Take in the target branch" } as const;

/** What a user has asked for. One that waits can be changed, and deleted. */
export const Prompt = memo(function Prompt({ row, number }: { row: PromptRow; number: number }) {
  const { prompt, ahead } = row;
  const [editing, setEditing] = useState(false);
  const text = TITLES[prompt.kind] || promptText(prompt.data);
  const choice = choiceOf(prompt);
  return (
    <section
      className="prompt"
      data-waits={ahead !== undefined}
      data-prompt={prompt.id}
      tabIndex={-1}
      aria-label={`Prompt ${number}`}
    >
      <header className="prompt-head">
        <h2 className="prompt-number">
          {ahead === undefined ? `Prompt ${number}` : placeOf(ahead)}
          {prompt.priority !== 0 && ` · priority ${prompt.priority}`}
        </h2>
        <Time at={prompt.created_at} className="muted" />
        {choice.length > 0 && <span className="prompt-choice muted">{choice.join(" · ")}</span>}
        <span className="prompt-actions">
          {ahead !== undefined ? (
            <WaitingActions prompt={prompt} onEdit={() => setEditing(true)} />
          ) : (
            <Actions prompt={prompt} />
          )}
        </span>
      </header>
      {editing ? (
        <Editor prompt={prompt} text={text} onClose={() => setEditing(false)} />
      ) : (
        (text !== "" || sentAttachments(prompt.data).length === 0) && (
          <p className="prompt-text">{text || "(no text)"}</p>
        )
      )}
      <Sent data={prompt.data} />
    </section>
  );
});

const placeOf = (ahead: number) =>
  ahead === 0
    ? "Next, as soon as it can start"
    : `Waits behind ${ahead} ${ahead === 1 ? "prompt" : "prompts"}`;

function Actions({ prompt }: { prompt: PromptDto }) {
  const { fork } = PromptActions.use();
  return (
    <>
      {prompt.finished_at !== null && (
        <Button look="quiet" onClick={() => fork(prompt.id)}>
          Fork<span className="visually-hidden"> after this prompt</span>
        </Button>
      )}
      <a className="button" data-look="quiet" href={`#p-${prompt.id}`} aria-label="Link to this prompt">
        #
      </a>
    </>
  );
}

function WaitingActions({ prompt, onEdit }: { prompt: PromptDto; onEdit: () => void }) {
  const { changed } = PromptActions.use();
  const [busy, setBusy] = useState(false);
  const remove = async () => {
    setBusy(true);
    try {
      await client.prompts.delete(prompt.id);
    } catch (error) {
      void complain("The prompt was not deleted", error);
    }
    await changed();
    setBusy(false);
  };
  return (
    <>
      {prompt.kind === "agent" && (
        <Button look="quiet" onClick={onEdit}>
          Edit
        </Button>
      )}
      <Button look="quiet" busy={busy} onClick={remove}>
        Delete
      </Button>
    </>
  );
}

function Editor({ prompt, text, onClose }: { prompt: PromptDto; text: string; onClose: () => void }) {
  const { changed } = PromptActions.use();
  const [draft, setDraft] = useState(text);
  const [busy, setBusy] = useState(false);
  const id = useId();
  const save = async () => {
    setBusy(true);
    try {
      await client.prompts.update(prompt.id, { data: withText(prompt.data, draft) });
      await changed();
      onClose();
    } catch (error) {
      void complain("The prompt was not changed", error);
    }
    setBusy(false);
  };
  return (
    <form
      className="prompt-editor"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <label htmlFor={id} className="visually-hidden">
        Text of the prompt
      </label>
      <textarea
        id={id}
        className="input"
        rows={4}
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && draft.trim() !== "") void save();
          if (event.key === "Escape") onClose();
        }}
      />
      <Button look="primary" type="submit" busy={busy} disabled={draft.trim() === ""}>
        Save
      </Button>
      <Button onClick={onClose}>Keep as it was</Button>
    </form>
  );
}
