import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, useRef } from "react";
import type { DiffOutput, SessionDto } from "../../../sdk/src/index.ts";
import { Icon } from "../shell/icons.tsx";
import { useKeys } from "../shell/keys.ts";
import { formatBytes } from "../ui/bytes.ts";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { visible } from "../ui/visible-text.ts";
import { asDiff } from "./as-diff.ts";
import { DiffList, type DiffListHandle } from "./diff-list.tsx";
import { useDrafts } from "./drafts.ts";
import { shortCommit } from "./file-notes.ts";
import { useFragment } from "./fragment.ts";
import { Picture } from "./image-diff.tsx";
import { PieceView } from "./piece-view.tsx";
import { piecesOf } from "./pieces.ts";
import { commentsQuery, fileTextQuery } from "./queries.ts";
import { type Review, ReviewProvider, useReview } from "./review-context.ts";
import { rowsOf } from "./rows.ts";
import { ThreadView } from "./thread.tsx";
import { threadsByFile } from "./threads.ts";

/** A file with all its lines, at a commit. Comments can be made on any of them. */
export function WholeFile(options: { session: SessionDto; diff: DiffOutput; path: string; at: string }) {
  const { session, diff, path, at } = options;
  const { id } = session;
  const { data: file, error, refetch } = useQuery(fileTextQuery(id, { path, ref: at }));
  const compared = useMemo(() => ({ base: at, head: at, whole: at === diff.head }), [at, diff.head]);
  const drafting = useDrafts(id, compared);
  const review = useMemo<Review>(
    () => ({ sessionId: id, compared, prompt: undefined, ...drafting }),
    [id, compared, drafting],
  );
  return (
    <ReviewProvider value={review}>
      <div className="review-whole">
        <header className="review-header">
          <Link
            className="button"
            data-look="quiet"
            to="/s/$id/review"
            params={{ id }}
            aria-label="Back to the changes"
          >
            <Icon name="back" />
          </Link>
          <div className="review-title">
            <h1 className="mono">{visible(path)}</h1>
            <p className="muted">
              {visible(session.title)}, at <code>{shortCommit(at)}</code>
              {file && `, ${formatBytes(file.size)}`}
            </p>
          </div>
        </header>
        {error && !file ? (
          <Problem title="The file could not be read" error={error} onRetry={() => void refetch()} />
        ) : !file ? (
          <Loading what="the file" />
        ) : file.text !== undefined ? (
          <Lines session={session} path={path} text={file.text} />
        ) : file.isImage ? (
          <div className="image-diff">
            <Picture caption="The picture" path={path} commit={at} />
          </div>
        ) : (
          <p className="file-about">A binary file: it cannot be shown as text.</p>
        )}
      </div>
    </ReviewProvider>
  );
}

function Lines({ session, path, text }: { session: SessionDto; path: string; text: string }) {
  const list = useRef<DiffListHandle>(null);
  const review = useReview();
  const { compared, drafts } = review;
  const fragment = useFragment(list);
  const { data: comments = NONE } = useQuery(commentsQuery(session.id));
  const { file, left } = useMemo(() => asDiff(path, text), [path, text]);
  const pieces = useMemo(() => piecesOf(file, "unified"), [file]);
  const rows = useMemo(
    () =>
      rowsOf(
        [file],
        () => pieces,
        () => false,
        () => false,
      ).filter(({ kind }) => kind === "piece"),
    [file, pieces],
  );
  const threads = useMemo(() => {
    const ofNew = { comments: comments.filter(({ side }) => side === "new"), drafts };
    return threadsByFile([file], () => pieces, ofNew, compared).get(path);
  }, [file, pieces, comments, drafts, compared, path]);
  useKeys({
    c: () => {
      const place = list.current?.current();
      if (place?.lines) review.startDraft(fragment.covering(place));
    },
  });
  if (rows.length === 0) return <p className="file-about">The file is empty.</p>;
  return (
    <>
      {left > 0 && (
        <p className="file-about notice">
          Its last {left.toLocaleString("en")} lines are not shown: read them in a checkout of the branch.
        </p>
      )}
      {threads && threads.file.comments.length > 0 && <ThreadView thread={threads.file} />}
      <DiffList
        ref={list}
        rows={rows}
        selected={fragment.place}
        onSelect={fragment.select}
        onComment={review.startDraft}
        renderRow={(row) =>
          row.kind === "piece" && (
            <PieceView
              piece={row.piece}
              path={path}
              look="unified"
              only="whole"
              threads={threads?.byLine}
              selected={fragment.place}
            />
          )
        }
      />
    </>
  );
}

const NONE: never[] = [];
