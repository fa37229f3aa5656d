import { useState } from "react";
import type { PromptDto, SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { type Choice, choiceFault, choiceInput, isChosen, NO_CHOICE } from "../choice/choice.ts";
import { ChoiceRow } from "../choice/choice-row.tsx";
import { useUsual } from "../choice/usual.ts";
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

/** The box for the next prompt. What is written in it survives a reload, until it was sent. */
export function FollowUp(options: {
  session: SessionDto;
  /** Undefined while they are not known. */
  prompts: readonly PromptDto[] | undefined;
  busy: boolean;
  /** Says it to the agent that works, which takes messages; undefined: none does. */
  steer: ((text: string, key: string) => Promise<void>) | undefined;
  onSent: () => Promise<void>;
}) {
  const { session, prompts, busy, steer, onSent } = options;
  const { id: sessionId, repo, parent } = session;
  const [draft, setDraft] = useStored(`prompt-backend:next-prompt:${sessionId}`, EMPTY);
  const [sending, setSending] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const usual = useUsual(repo, { parent, prompts });
  const choice = draft.choice ?? NO_CHOICE;
  const [box, setBox] = useState<HTMLTextAreaElement | null>(null);
  useKeys({ r: () => box?.focus() });

  const change = (part: Partial<Draft>) =>
    setDraft((now) => {
      const { text, choice } = { ...now, ...part };
      return text === "" && !isChosen(choice ?? NO_CHOICE) ? EMPTY : { text, choice, key: newKey() };
    });
  const send = async (now = false) => {
    const content = draft.text.trim();
    if (content === "" || sending) return;
    setSending(true);
    setFailure(undefined);
    try {
      const data = [{ type: "text" as const, content }];
      if (now && steer) await steer(content, draft.key);
      else {
        const prompt = { session_id: sessionId, data, ...choiceInput(choice) };
        await client.prompts.create(prompt, { idempotencyKey: draft.key });
      }
      // What was chosen is the session's now, unless only the agent that works was told something.
      change(now && steer ? { text: "" } : EMPTY);
      await onSent();
    } catch (error) {
      setFailure(error);
      // What is refused of the choice is said at its field, which takes the focus then.
      if (!choiceFault(error)) void complain("The follow-up was not sent", error);
    }
    setSending(false);
    box?.focus();
  };

  return (
    <form
      className="follow-up"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <ChoiceRow value={choice} onChange={(next) => change({ choice: next })} usual={usual} error={failure} />
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
      <Button
        look="primary"
        type="submit"
        busy={sending}
        disabled={draft.text.trim() === ""}
        title="Ctrl Enter"
      >
        {steer ? "Queue as next prompt" : "Send"}
      </Button>
      {steer && (
        <SteerButton busy={sending} disabled={draft.text.trim() === ""} onClick={() => void send(true)} />
      )}
    </form>
  );
}
