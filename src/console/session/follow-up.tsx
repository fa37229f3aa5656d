import { useState } from "react";
import { client } from "../api.ts";
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
  key: string;
}
const EMPTY: Draft = { text: "", key: "" };

/** The box for the next prompt. What is written in it survives a reload, until it was sent. */
export function FollowUp(options: {
  sessionId: string;
  busy: boolean;
  /** Says it to the agent that works, which takes messages; undefined: none does. */
  steer: ((text: string, key: string) => Promise<void>) | undefined;
  onSent: () => Promise<void>;
}) {
  const { sessionId, busy, steer, onSent } = options;
  const [draft, setDraft] = useStored(`prompt-backend:next-prompt:${sessionId}`, EMPTY);
  const [sending, setSending] = useState(false);
  const [box, setBox] = useState<HTMLTextAreaElement | null>(null);
  useKeys({ r: () => box?.focus() });

  const change = (text: string) => setDraft(() => (text === "" ? EMPTY : { text, key: newKey() }));
  const send = async (now = false) => {
    const content = draft.text.trim();
    if (content === "" || sending) return;
    setSending(true);
    try {
      const data = [{ type: "text" as const, content }];
      if (now && steer) await steer(content, draft.key);
      else await client.prompts.create({ session_id: sessionId, data }, { idempotencyKey: draft.key });
      change("");
      await onSent();
    } catch (error) {
      void complain("The follow-up was not sent", error);
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
        onChange={(event) => change(event.target.value)}
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
