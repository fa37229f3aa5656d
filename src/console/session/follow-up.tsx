import { useState } from "react";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { FilesRefused } from "../attachments/attached-files.ts";
import { AttachButton, AttachedList } from "../attachments/attached-list.tsx";
import { useAttachments } from "../attachments/use-attachments.ts";
import { type Choice, choiceFault, choiceInput, isChosen, NO_CHOICE } from "../choice/choice.ts";
import { ChoiceRow } from "../choice/choice-row.tsx";
import { usualOf } from "../choice/usual.ts";
import { useKeys } from "../shell/keys.ts";
import { Button } from "../ui/button.tsx";
import { newKey } from "../ui/new-key.ts";
import { complain } from "../ui/notify.ts";
import { useStored } from "../ui/stored.ts";
import { toPage } from "../ui/take-focus.ts";
import { SteerButton } from "./steer-button.tsx";

/** What is about to be sent. `key` is the same in each attempt, so that one whose answer was lost is not sent twice. */
interface Draft {
  text: string;
  /** Undefined: nothing is chosen. */
  choice?: Choice | undefined;
  key: string;
}
const EMPTY: Draft = { text: "", choice: undefined, key: "" };
const draftOf = (text: string, choice: Choice | undefined): Draft =>
  text === "" && !isChosen(choice ?? NO_CHOICE) ? EMPTY : { text, choice, key: newKey() };

/** The box for the next prompt. What is written in it survives a reload, until it was sent. */
export function FollowUp(options: {
  session: SessionDto;
  busy: boolean;
  /** Says it to the agent that works, which takes messages; undefined: none does. */
  steer: ((text: string, key: string) => Promise<void>) | undefined;
  onSent: () => Promise<void>;
}) {
  const { session, busy, steer, onSent } = options;
  const { id: sessionId } = session;
  const [draft, setDraft] = useStored(`prompt-backend:next-prompt:${sessionId}`, EMPTY);
  const [sending, setSending] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const choice = draft.choice ?? NO_CHOICE;
  const [box, setBox] = useState<HTMLTextAreaElement | null>(null);
  const attachments = useAttachments();
  const attached = attachments.files.length > 0;
  const empty = draft.text.trim() === "" && !attached;
  useKeys({ r: () => box?.focus() });

  const change = (part: Partial<Draft>) =>
    setDraft((now) => {
      const { text, choice } = { ...now, ...part };
      return draftOf(text, choice);
    });
  const send = async (now = false) => {
    const content = draft.text.trim();
    if (empty || sending || (now && attached)) return;
    const from = document.activeElement;
    setSending(true);
    setFailure(undefined);
    try {
      if (now && steer) await steer(content, draft.key);
      else {
        const chosen = choiceInput(choice);
        await attachments.send({ text: content, key: draft.key }, (content, idempotencyKey) => {
          const prompt = {
            session_id: sessionId,
            data: [{ type: "text" as const, content }],
            ...chosen,
          };
          return client.prompts.create(prompt, { idempotencyKey });
        });
      }
      // What was chosen is the session's now, unless only the agent that works was told something, or it was changed meanwhile.
      setDraft((latest) =>
        draftOf("", (now && steer) || latest.choice !== draft.choice ? latest.choice : undefined),
      );
      await onSent();
    } catch (error) {
      setFailure(error);
      // What is refused of the choice is said at its field, which takes the focus then; of a file, at the file.
      if (!choiceFault(error) && !(error instanceof FilesRefused))
        void complain("The follow-up was not sent", error);
    }
    setSending(false);
    // Whoever has gone elsewhere meanwhile is not called back.
    if (document.activeElement === from || document.activeElement === document.body) box?.focus();
  };

  return (
    <form
      className="follow-up takes-files"
      {...attachments.target}
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <ChoiceRow
        value={choice}
        onChange={(next) => change({ choice: next })}
        usual={usualOf(session)}
        repo={session.repo}
        error={failure}
      />
      <AttachedList
        attachments={attachments}
        note={steer && "They go with the next prompt: an agent that works takes text only."}
      />
      <label htmlFor="follow-up" className="visually-hidden">
        Follow-up
      </label>
      <textarea
        id="follow-up"
        ref={setBox}
        className="input"
        rows={2}
        placeholder={busy ? "Write the next prompt: it runs after those before it" : "Write a follow-up"}
        value={draft.text}
        readOnly={sending}
        onChange={(event) => change({ text: event.target.value })}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            void send(event.shiftKey);
          }
          if (event.key === "Escape") toPage();
        }}
      />
      <AttachButton attachments={attachments} />
      <Button look="primary" type="submit" busy={sending} disabled={empty} title="Ctrl Enter">
        {steer ? "Queue as next prompt" : "Send"}
      </Button>
      {steer && <SteerButton busy={sending} disabled={empty || attached} onClick={() => void send(true)} />}
    </form>
  );
}
