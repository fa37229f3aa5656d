import { useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import type { PullRequestDto, SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { say } from "../ui/notify.ts";
import { Problem } from "../ui/problem.tsx";
import { visible } from "../ui/visible-text.ts";
import { useAttempt } from "./attempt.ts";
import { shortCommit } from "./file-notes.ts";
import { pullRequestQuery, reviewKey } from "./queries.ts";

const METHODS = {
  merge: "A merge commit",
  squash: "One commit of all (squash)",
  rebase: "Its commits on top (rebase)",
} as const;
type Method = keyof typeof METHODS;

/** Asks once more, and merges what was seen. */
export function MergeDialog(options: {
  session: SessionDto;
  pullRequest: PullRequestDto;
  onClose: () => void;
}) {
  const { session, pullRequest, onClose } = options;
  const { number, base, head, checks, draft } = pullRequest;
  const queries = useQueryClient();
  const [method, setMethod] = useState<Method>("merge");
  const { busy, error, attempt } = useAttempt("It was not merged");
  const id = useId();
  const unfinished = checks?.filter(({ status }) => status === "failed" || status === "pending").length ?? 0;
  const merge = () =>
    attempt(async (isOpen) => {
      try {
        const { message } = await client.sessions.merge(session.id, {
          ...{ method, ...(head !== null && { head }) },
        });
        await queries.invalidateQueries({ queryKey: reviewKey(session.id) });
        if (isOpen()) onClose();
        await say(message);
      } catch (reason) {
        // What it is like there may have changed, which is the reason.
        void queries.invalidateQueries(pullRequestQuery(session.id));
        throw reason;
      }
    });
  return (
    <Dialog
      title={`Merge #${number}`}
      onClose={onClose}
      actions={
        <Button look="primary" busy={busy} onClick={() => void merge()}>
          Merge into {visible(base)}
        </Button>
      }
    >
      <p>
        <code>{visible(session.branch)}</code>
        {head !== null && (
          <>
            {" "}
            at <code>{shortCommit(head)}</code>
          </>
        )}{" "}
        goes into <code>{visible(base)}</code> of <span className="mono">{visible(session.repo)}</span>. This
        cannot be taken back here.
      </p>
      {draft && <p className="notice">It is a draft: its host may refuse.</p>}
      {unfinished > 0 && (
        <p className="notice">{unfinished === 1 ? "1 check has" : `${unfinished} checks have`} not passed.</p>
      )}
      <div className="field">
        <label htmlFor={id}>How</label>
        <select
          id={id}
          className="input"
          value={method}
          onChange={({ target }) => setMethod(target.value as Method)}
        >
          {Object.entries(METHODS).map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
      </div>
      {error !== undefined && <Problem title="It was not merged" error={error} />}
    </Dialog>
  );
}
