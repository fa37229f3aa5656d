import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { CommentDto } from "../../../sdk/src/index.ts";
import { Button } from "../ui/button.tsx";
import { visible } from "../ui/visible-text.ts";
import { type Place, toFragment } from "./address.ts";
import { useReview } from "./review-context.ts";
import { SendDialog } from "./send-dialog.tsx";
import { CommentView, DraftView, describeLines } from "./thread.tsx";
import { placeOf } from "./threads.ts";

/** All comments of the session, and the way to the agent. */
export function CommentsPanel({
  comments,
  onGo,
}: {
  comments: readonly CommentDto[];
  onGo: (place: Place) => void;
}) {
  const { compared, drafts } = useReview();
  const [sending, setSending] = useState(false);
  const open = comments.filter(({ status }) => status === "open");
  const sent = comments.filter(({ status }) => status === "sent");
  const elsewhere = drafts.filter(
    ({ side, commit }) => commit !== (side === "old" ? compared.base : compared.head),
  );
  const entry = (comment: CommentDto) => <Entry key={comment.id} comment={comment} onGo={onGo} />;
  return (
    <section className="panel" aria-label="Comments">
      <h2>Comments</h2>
      {comments.length === 0 && drafts.length === 0 && (
        <p className="muted">
          Press the number of a line to comment on it. The agent gets all open comments at once, when you send
          them.
        </p>
      )}
      {open.length > 0 && (
        <Button look="primary" onClick={() => setSending(true)}>
          Send {open.length === 1 ? "1 comment" : `${open.length} comments`} to the agent
        </Button>
      )}
      {drafts.length > elsewhere.length && (
        <p className="muted" role="status">
          {drafts.length - elsewhere.length} not saved yet.
        </p>
      )}
      {elsewhere.map((draft) => (
        <div key={draft.id}>
          <p className="muted">
            On an earlier version of <span className="mono">{visible(draft.path)}</span>:
          </p>
          <DraftView draft={draft} />
        </div>
      ))}
      {open.map(entry)}
      {sent.length > 0 && (
        <details>
          <summary>{sent.length === 1 ? "1 comment" : `${sent.length} comments`} sent before</summary>
          {sent.map(entry)}
        </details>
      )}
      {sending && <SendDialog count={open.length} onClose={() => setSending(false)} />}
    </section>
  );
}

function Entry({ comment, onGo }: { comment: CommentDto; onGo: (place: Place) => void }) {
  const { sessionId, compared } = useReview();
  const place = placeOf(comment, compared);
  const then: Place = {
    ...{ path: comment.path, side: comment.side },
    lines: comment.line === null ? null : { from: comment.line, to: comment.end_line ?? comment.line },
  };
  return (
    <div className="comment-entry">
      {place ? (
        <button type="button" className="comment-place" onClick={() => onGo(place)}>
          {visible(place.path)}, {describeLines(place)}
        </button>
      ) : (
        <Link
          className="comment-place"
          to="/s/$id/review"
          params={{ id: sessionId }}
          search={{ file: comment.path, at: comment.commit }}
          hash={toFragment(then)}
        >
          {visible(comment.path)}, as it was
        </Link>
      )}
      {comment.outdated && comment.code !== "" && <pre className="comment-code">{visible(comment.code)}</pre>}
      <CommentView comment={comment} shownIn="list" />
    </div>
  );
}
