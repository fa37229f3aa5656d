import { useNavigate } from "@tanstack/react-router";
import { useId } from "react";
import { client } from "../api.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { say } from "../ui/notify.ts";
import { Problem } from "../ui/problem.tsx";
import { useStored } from "../ui/stored.ts";
import { useAttempt } from "./attempt.ts";
import { useReview } from "./review-context.ts";

/** Sends the open comments to the agent as one follow-up, and goes to where it answers. */
export function SendDialog({ count, onClose }: { count: number; onClose: () => void }) {
  const { sessionId } = useReview();
  const navigate = useNavigate();
  const [text, setText] = useStored(`prompt-backend:send-text:${sessionId}`, "");
  const { busy, error, attempt } = useAttempt("The comments were not sent");
  const id = useId();
  const send = () =>
    attempt(async (isOpen) => {
      await client.comments.send(sessionId, text.trim() === "" ? {} : { text });
      setText(() => "");
      await say("The agent has your comments");
      if (isOpen()) await navigate({ to: "/s/$id", params: { id: sessionId } });
    });
  return (
    <Dialog
      title={count === 1 ? "Send 1 comment to the agent" : `Send ${count} comments to the agent`}
      onClose={onClose}
      actions={
        <Button look="primary" busy={busy} onClick={() => void send()}>
          Send
        </Button>
      }
    >
      <p>They become one follow-up prompt, which quotes the lines of each.</p>
      <div className="field">
        <label htmlFor={id}>What it begins with</label>
        <textarea
          id={id}
          className="input"
          rows={3}
          maxLength={10_000}
          placeholder="Please address these comments."
          value={text}
          readOnly={busy}
          onChange={({ target }) => setText(() => target.value)}
        />
      </div>
      {error !== undefined && <Problem title="The comments were not sent" error={error} />}
    </Dialog>
  );
}
