import { useMemo, useState } from "react";
import type { FileDiffDto } from "../../../sdk/src/index.ts";
import { Icon } from "../shell/icons.tsx";
import { visible } from "../ui/visible-text.ts";
import { Counts, STATUS_LETTERS } from "./file-header.tsx";

/** Beyond these a filter helps more than a list. */
const SHOWN = 1_000;

/** The changed files by folder: where each is, how much was changed, what was viewed. */
export function FilesPanel(options: {
  files: readonly FileDiffDto[];
  viewed: ReadonlySet<string>;
  comments: (file: FileDiffDto) => number;
  onOpen: (file: FileDiffDto) => void;
}) {
  const { files, viewed, comments, onOpen } = options;
  const [filter, setFilter] = useState("");
  const found = useMemo(() => {
    const wanted = filter.trim().toLowerCase();
    return files.filter(({ path }) => path.toLowerCase().includes(wanted));
  }, [files, filter]);
  const folders = useMemo(
    () => [...Map.groupBy(found.slice(0, SHOWN), ({ path }) => path.slice(0, path.lastIndexOf("/") + 1))],
    [found],
  );
  return (
    <section className="files-panel" aria-label="Changed files">
      <input
        className="input"
        type="search"
        placeholder="Filter files"
        aria-label="Filter files"
        value={filter}
        onChange={({ target }) => setFilter(target.value)}
      />
      <p className="muted" role="status">
        {viewed.size} of {files.length} viewed
        {filter.trim() !== "" && `, ${found.length} found`}
      </p>
      <ul>
        {folders.map(([folder, inIt]) => (
          <li key={folder}>
            {folder !== "" && <p className="folder">{visible(folder)}</p>}
            <ul>
              {inIt.map((file) => (
                <li key={file.path}>
                  <button
                    type="button"
                    className="file-entry"
                    data-viewed={viewed.has(file.path) || undefined}
                    title={visible(file.path)}
                    onClick={() => onOpen(file)}
                  >
                    <span className="file-status" data-status={file.status}>
                      {STATUS_LETTERS[file.status]}
                      <span className="visually-hidden"> {file.status.replace("_", " ")}: </span>
                    </span>
                    <span className="file-name">{visible(file.path.slice(folder.length))}</span>
                    {comments(file) > 0 && (
                      <span className="muted" title="Comments">
                        <Icon name="comment" />
                        {comments(file)}
                      </span>
                    )}
                    <Counts of={file} />
                    {viewed.has(file.path) && (
                      <span title="Viewed">
                        <Icon name="check" />
                        <span className="visually-hidden">, viewed</span>
                      </span>
                    )}
                  </button>
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ul>
      {found.length > SHOWN && <p className="muted">{found.length - SHOWN} more: use the filter.</p>}
    </section>
  );
}
