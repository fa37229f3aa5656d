import { Link } from "@tanstack/react-router";
import type { FileDiffDto } from "../../../sdk/src/index.ts";
import { Icon } from "../shell/icons.tsx";
import { Button } from "../ui/button.tsx";
import { visible } from "../ui/visible-text.ts";
import { useReview } from "./review-context.ts";

export const STATUS_LETTERS: Readonly<Record<FileDiffDto["status"], string>> = {
  added: "A",
  deleted: "D",
  modified: "M",
  renamed: "R",
  type_changed: "T",
};

/** What stands over a file's diff: it folds it, marks it as viewed, and leads to the whole file. */
export function FileHeader(options: {
  file: FileDiffDto;
  folded: boolean;
  onFold: () => void;
  viewed: boolean;
  onViewed: () => void;
  conflict: boolean;
  comments: number;
  /** Lines of it were asked for. */
  loading: boolean;
  /** Shows all of its lines; undefined where that makes no sense. */
  onAllLines: (() => void) | undefined;
}) {
  const { file, folded, onFold, viewed, onViewed, conflict, comments, loading, onAllLines } = options;
  const { sessionId, startDraft, compared } = useReview();
  const isGone = file.status === "deleted";
  const hasText = !file.binary && ![file.old_mode, file.new_mode].includes("160000");
  return (
    <header className="file-header" data-path={file.path}>
      <h2>
        <button type="button" className="file-fold" aria-expanded={!folded} onClick={onFold}>
          <Icon name="chevron" />
          <span className="file-status" data-status={file.status} title={file.status.replace("_", " ")}>
            {STATUS_LETTERS[file.status]}
          </span>
          <span className="file-path">{visible(file.path)}</span>
        </button>
      </h2>
      <Counts of={file} />
      {comments > 0 && (
        <span className="badge" title="Comments">
          <Icon name="comment" /> {comments}
        </span>
      )}
      {conflict && (
        <span className="badge" data-tone="bad">
          Conflict
        </span>
      )}
      <span className="file-actions">
        <Button
          look="quiet"
          onClick={() =>
            startDraft({
              path: isGone ? (file.old_path ?? file.path) : file.path,
              ...{ side: isGone ? "old" : "new", lines: null },
            })
          }
        >
          Comment
        </Button>
        {onAllLines && (
          <Button look="quiet" busy={loading} onClick={onAllLines}>
            All lines
          </Button>
        )}
        {hasText && (
          <Link
            className="button"
            data-look="quiet"
            to="/s/$id/review"
            params={{ id: sessionId }}
            search={{ file: file.path, at: isGone ? compared.base : compared.head }}
          >
            Whole file
          </Link>
        )}
        <label className="file-viewed">
          <input type="checkbox" checked={viewed} onChange={onViewed} />
          Viewed
        </label>
      </span>
    </header>
  );
}

/** Lines that were added and removed. */
export function Counts({ of: { additions, deletions } }: { of: { additions: number; deletions: number } }) {
  return (
    <span className="counts">
      <span className="visually-hidden">{`${additions} lines added, ${deletions} removed`}</span>
      <span aria-hidden="true" className="counts-added">
        +{additions}
      </span>{" "}
      <span aria-hidden="true" className="counts-removed">
        −{deletions}
      </span>
    </span>
  );
}
