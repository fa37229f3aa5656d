import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { CommentDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { Button } from "../ui/button.tsx";
import { complain, say } from "../ui/notify.ts";
import { Time } from "../ui/time.tsx";
import { visible } from "../ui/visible-text.ts";
import { CommentForm } from "./comment-form.tsx";
import { commentsQuery } from "./queries.ts";
import { useReview } from "./review-context.ts";
import type { Draft, Thread } from "./threads.ts";

/** What is said at one place of the diff: comments, and those that are being written. */
export function ThreadView({ thread }: { thread: Thread }) {
  return (
    <div className="thread">
      {thread.comments.map((comment) => (
        <CommentView key={comment.id} comment={comment} shownIn="diff" />
      ))}
      {thread.drafts.map((draft) => (
        <DraftView key={draft.id} draft={draft} />
      ))}
    </div>
  );
}

/** `lines 3–5`, `line 3 before the change`, `the file`. */
export function describeLines({ lines, side }: Pick<Draft, "lines" | "side">): string {
  if (!lines) return "the file";
  const range = lines.to > lines.from ? `lines ${lines.from}–${lines.to}` : `line ${lines.from}`;
  return side === "old" ? `${range} before the change` : range;
}

export function DraftView({ draft }: { draft: Draft }) {
  const { sessionId, changeDraft, dropDraft } = useReview();
  const queries = useQueryClient();
  const { path, commit, side, lines, text, key } = draft;
  return (
    <CommentForm
      label={`Comment on ${describeLines(draft)}`}
      action="Comment"
      asked={text === ""}
      text={text}
      onText={(next) => changeDraft(draft.id, next)}
      onCancel={() => dropDraft(draft.id)}
      onSave={async () => {
        try {
          const place = { path, commit, side, ...(lines && { line: lines.from, end_line: lines.to }) };
          await client.comments.create(sessionId, { ...place, text }, { idempotencyKey: key });
          await queries.invalidateQueries(commentsQuery(sessionId));
          dropDraft(draft.id);
        } catch (error) {
          await complain("The comment was not saved", error);
        }
      }}
    />
  );
}

/** @param options.shownIn a comment is shown in two places, and changed where that was asked for. */
export function CommentView(options: { comment: CommentDto; shownIn: "diff" | "list" }) {
  const { comment, shownIn } = options;
  const { sessionId, edits, changeEdit } = useReview();
  const queries = useQueryClient();
  // Not the component's own, which goes away when it is scrolled out of sight.
  const editId = `${shownIn} ${comment.id}`;
  const edited = edits[editId];
  const setEdited = (text: string | undefined) => changeEdit(editId, text);
  const [asked, setAsked] = useState(false);
  const isOpen = comment.status === "open";
  const reload = () => queries.invalidateQueries(commentsQuery(sessionId));

  const save = async (text: string) => {
    try {
      await client.comments.update(comment.id, { text });
      await reload();
      setEdited(undefined);
    } catch (error) {
      await complain("The comment was not changed", error);
    }
  };
  const remove = async () => {
    try {
      await client.comments.delete(comment.id);
      await reload();
    } catch (error) {
      return complain("The comment was not deleted", error);
    }
    await say("Comment deleted", { label: "Undo", run: () => void restore() });
  };
  const restore = async () => {
    const { path, commit, side, line, end_line, text } = comment;
    try {
      await client.comments.create(sessionId, {
        ...{ path, commit, side, text },
        ...(line !== null && { line, end_line: end_line ?? line }),
      });
      await reload();
    } catch (error) {
      await complain("The comment was not restored", error);
    }
  };

  if (edited !== undefined)
    return (
      <CommentForm
        label="Change the comment"
        action="Save"
        asked={asked}
        text={edited}
        onText={setEdited}
        onCancel={() => setEdited(undefined)}
        onSave={() => save(edited)}
      />
    );
  return (
    <article className="comment" data-status={comment.status} aria-label="Comment">
      <header>
        <span className="badge" data-tone={isOpen ? "info" : undefined}>
          {isOpen ? "Open" : "Sent"}
        </span>
        {comment.outdated && (
          <span className="badge" data-tone="warn" title="Its lines were changed or deleted since">
            Outdated
          </span>
        )}
        <span className="muted">
          {describeLines({
            side: comment.side,
            lines:
              comment.line === null ? null : { from: comment.line, to: comment.end_line ?? comment.line },
          })}
          {", "}
          <Time at={comment.created_at} />
        </span>
      </header>
      <p className="comment-text">{visible(comment.text)}</p>
      {isOpen && (
        <div className="comment-actions">
          <Button
            look="quiet"
            onClick={() => {
              setAsked(true);
              setEdited(comment.text);
            }}
          >
            Edit
          </Button>
          <Button look="quiet" onClick={() => void remove()}>
            Delete
          </Button>
        </div>
      )}
    </article>
  );
}
