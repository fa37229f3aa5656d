import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, useRef, useState } from "react";
import type { DiffOutput, FileDiffDto, SessionDto } from "../../../sdk/src/index.ts";
import { useKeys } from "../shell/keys.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import type { Place } from "./address.ts";
import { CommentsPanel } from "./comments-panel.tsx";
import { CommitsPanel } from "./commits-panel.tsx";
import type { DiffListHandle } from "./diff-list.tsx";
import { useDrafts } from "./drafts.ts";
import { FilesPanel } from "./files-panel.tsx";
import { FilesView } from "./files-view.tsx";
import { useFragment } from "./fragment.ts";
import { useLoadedFiles } from "./loaded-files.ts";
import { useLook } from "./look.ts";
import { piecesOf } from "./pieces.ts";
import { PullRequestPanel } from "./pull-request-panel.tsx";
import { ALL_LINES, commentsQuery } from "./queries.ts";
import { type Review, ReviewProvider } from "./review-context.ts";
import { ReviewHeader } from "./review-header.tsx";
import { TargetPanel } from "./target-panel.tsx";
import { threadsByFile } from "./threads.ts";
import { useViewed } from "./viewed.ts";

/** Lines around changes when a large file is loaded alone. */
const USUAL_CONTEXT = 3;

/** The changes of a session or of one prompt, with all that is done about them. */
export function ChangesView(options: { session: SessionDto; diff: DiffOutput; prompt: string | undefined }) {
  const { session, diff, prompt } = options;
  const { id } = session;
  const list = useRef<DiffListHandle>(null);
  const [shown, setShown] = useState<"diff" | "files" | "panels">("diff");
  const { look, toggleLook } = useLook();
  const { files, load, loadingOf } = useLoadedFiles(id, diff, prompt);
  const { data: comments = NONE } = useQuery(commentsQuery(id));
  const { viewed, toggle: toggleViewed } = useViewed(id, diff.files);
  const { base, head } = diff;
  const compared = useMemo(() => ({ base, head, whole: prompt === undefined }), [base, head, prompt]);
  const drafting = useDrafts(id, compared);
  const { drafts } = drafting;
  const review = useMemo<Review>(
    () => ({ sessionId: id, compared, prompt, ...drafting }),
    [id, compared, prompt, drafting],
  );
  const piecesOfFile = useMemo(() => {
    const known = new WeakMap<FileDiffDto, ReturnType<typeof piecesOf>>();
    return (file: FileDiffDto) => {
      const pieces = known.get(file) ?? piecesOf(file, look);
      known.set(file, pieces);
      return pieces;
    };
  }, [look]);
  const threads = useMemo(
    () => threadsByFile(files, piecesOfFile, { comments, drafts }, compared),
    [files, piecesOfFile, comments, drafts, compared],
  );
  const fragment = useFragment(list);
  const go = (place: Place) => {
    setShown("diff");
    fragment.select(place);
    list.current?.reveal(place, true);
  };
  const comment = (place: Place) => {
    const file = files.find(({ path }) => path === place.path);
    drafting.startDraft(place.side === "old" && file?.old_path ? { ...place, path: file.old_path } : place);
  };
  useKeys({
    j: () => list.current?.moveFile(1),
    k: () => list.current?.moveFile(-1),
    n: () => list.current?.moveChange(1),
    p: () => list.current?.moveChange(-1),
    x: toggleLook,
    c: () => {
      const place = list.current?.current();
      if (place) comment(fragment.covering(place));
    },
    v: () => {
      const path = list.current?.current()?.path;
      const file = diff.files.find((one) => one.path === path);
      if (file) toggleViewed(file);
    },
  });
  const countOf = (file: FileDiffDto) => {
    const found = threads.get(file.path);
    if (!found) return 0;
    return [found.file, ...found.byLine.values()].reduce((sum, one) => sum + one.comments.length, 0);
  };

  return (
    <ReviewProvider value={review}>
      <div className="review" data-shown={shown}>
        <ReviewHeader session={session} diff={diff} prompt={prompt}>
          <Button aria-pressed={look === "split"} onClick={toggleLook} className="look">
            Side by side
          </Button>
          <fieldset className="review-tabs" aria-label="What is shown">
            {TABS.map(([name, label]) => (
              <Button key={name} aria-pressed={shown === name} onClick={() => setShown(name)}>
                {label}
              </Button>
            ))}
          </fieldset>
        </ReviewHeader>
        <aside className="review-files" aria-label="Files">
          <FilesPanel
            files={files}
            viewed={viewed}
            comments={countOf}
            onOpen={(file) => go({ path: file.path, side: "new", lines: null })}
          />
        </aside>
        <section className="review-diff" aria-label="Changes">
          {files.length === 0 ? (
            <Empty title={prompt === undefined ? "There are no changes" : "This prompt has changed nothing"}>
              <p>
                {prompt === undefined
                  ? "The agent has changed nothing yet, or its target branch has all of it."
                  : "Its commits are empty, or were taken back."}
              </p>
              <Link to="/s/$id" params={{ id }}>
                Go to the conversation
              </Link>
            </Empty>
          ) : (
            <FilesView
              ref={list}
              files={files}
              piecesOf={piecesOfFile}
              threads={threads}
              look={look}
              conflicts={diff.conflicts}
              viewed={viewed}
              onViewed={(file) => toggleViewed(diff.files.find(({ path }) => path === file.path) ?? file)}
              countOf={countOf}
              loadingOf={loadingOf}
              onLoad={(file) => load(file.path, USUAL_CONTEXT)}
              onAllLines={(file) => load(file.path, ALL_LINES)}
              selected={fragment.place}
              onSelect={fragment.select}
              onComment={comment}
            />
          )}
        </section>
        <aside className="review-panels" aria-label="Review">
          <PullRequestPanel session={session} />
          <TargetPanel session={session} diff={diff} />
          <CommentsPanel comments={comments} onGo={go} />
          <CommitsPanel />
        </aside>
      </div>
    </ReviewProvider>
  );
}

const NONE: never[] = [];
const TABS = [
  ["diff", "Changes"],
  ["files", "Files"],
  ["panels", "Review"],
] as const;
