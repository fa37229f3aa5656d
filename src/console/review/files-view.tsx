import { type Ref, useCallback, useEffect, useMemo, useState } from "react";
import type { FileDiffDto } from "../../../sdk/src/index.ts";
import type { Place } from "./address.ts";
import { DiffList, type DiffListHandle } from "./diff-list.tsx";
import { FileAbout, hasAbout, type Loading } from "./file-body.tsx";
import { FileHeader } from "./file-header.tsx";
import { PieceView } from "./piece-view.tsx";
import type { DiffLook, Piece } from "./pieces.ts";
import { isLarge, type Row, rowsOf } from "./rows.ts";
import type { FileThreads } from "./threads.ts";

/** The changed files, one under the other. */
export function FilesView(options: {
  files: readonly FileDiffDto[];
  piecesOf: (file: FileDiffDto) => readonly Piece[];
  threads: ReadonlyMap<string, FileThreads>;
  look: DiffLook;
  conflicts: readonly string[];
  viewed: ReadonlySet<string>;
  onViewed: (file: FileDiffDto) => void;
  countOf: (file: FileDiffDto) => number;
  loadingOf: (file: FileDiffDto) => Loading | undefined;
  onLoad: (file: FileDiffDto) => void;
  onAllLines: (file: FileDiffDto) => void;
  selected: Place | undefined;
  onSelect: (place: Place) => void;
  onComment: (place: Place) => void;
  ref: Ref<DiffListHandle>;
}) {
  const { files, piecesOf, threads, look, viewed, loadingOf, selected, ref } = options;
  // What the user has folded or unfolded, until it is viewed or no longer is; else what is viewed or large is folded.
  const [folded, setFolded] = useState<ReadonlyMap<string, { to: boolean; viewed: boolean }>>(
    () => new Map(),
  );
  useEffect(
    () => setFolded((now) => new Map([...now].filter(([path, own]) => own.viewed === viewed.has(path)))),
    [viewed],
  );
  const isFolded = useCallback(
    (file: FileDiffDto) => {
      const own = folded.get(file.path);
      const isViewed = viewed.has(file.path);
      return own?.viewed === isViewed ? own.to : isViewed || (isLarge(file) && files.length > 1);
    },
    [folded, viewed, files.length],
  );
  const fold = (file: FileDiffDto, to: boolean) =>
    setFolded((now) => new Map(now).set(file.path, { to, viewed: viewed.has(file.path) }));
  const threadOf = useCallback(
    (file: FileDiffDto) => {
      const thread = threads.get(file.path)?.file;
      return thread && thread.comments.length + thread.drafts.length > 0 ? thread : undefined;
    },
    [threads],
  );
  const rows = useMemo(
    () => rowsOf(files, piecesOf, isFolded, (file) => hasAbout(file, threadOf(file), loadingOf(file))),
    [files, piecesOf, isFolded, threadOf, loadingOf],
  );
  const conflicts = useMemo(() => new Set(options.conflicts), [options.conflicts]);

  const renderRow = (row: Row) => {
    const { file } = row;
    if (row.kind === "header")
      return (
        <FileHeader
          file={file}
          folded={isFolded(file)}
          onFold={() => fold(file, !isFolded(file))}
          viewed={viewed.has(file.path)}
          onViewed={() => options.onViewed(file)}
          conflict={conflicts.has(file.path)}
          comments={options.countOf(file)}
          loading={loadingOf(file)?.pending === true}
          onAllLines={
            file.status === "modified" && file.hunks.length > 0 ? () => options.onAllLines(file) : undefined
          }
        />
      );
    if (row.kind === "about")
      return (
        <FileAbout
          file={file}
          thread={threadOf(file)}
          loading={loadingOf(file)}
          onLoad={() => options.onLoad(file)}
        />
      );
    return (
      <PieceView
        piece={row.piece}
        path={file.path}
        look={look}
        only={file.status === "added" || file.status === "deleted" ? file.status : undefined}
        threads={threads.get(file.path)?.byLine}
        selected={selected?.path === file.path ? selected : undefined}
      />
    );
  };
  return (
    <DiffList
      ref={ref}
      rows={rows}
      renderRow={renderRow}
      selected={selected}
      onSelect={options.onSelect}
      onComment={options.onComment}
    />
  );
}
