import type { FileDiffDto } from "../../../sdk/src/index.ts";
import { Button } from "../ui/button.tsx";
import { Problem } from "../ui/problem.tsx";
import { notesOf } from "./file-notes.ts";
import { ImageDiff, isImage } from "./image-diff.tsx";
import { ThreadView } from "./thread.tsx";
import type { Thread } from "./threads.ts";

/** A file's diff that is read alone. */
export interface Loading {
  pending: boolean;
  error: unknown;
  retry: () => Promise<unknown>;
}

/** Whether a file has more to say than its lines. */
export const hasAbout = (
  file: FileDiffDto,
  thread: Thread | undefined,
  loading: Loading | undefined,
): boolean =>
  file.too_large ||
  isImage(file) ||
  notesOf(file).length > 0 ||
  thread !== undefined ||
  loading?.error != null;

/** What is said about all of a file, over its lines. */
export function FileAbout(options: {
  file: FileDiffDto;
  thread: Thread | undefined;
  loading: Loading | undefined;
  onLoad: () => void;
}) {
  const { file, thread, loading, onLoad } = options;
  return (
    <div className="file-about">
      {notesOf(file).map((note) => (
        <p key={note}>{note}</p>
      ))}
      {isImage(file) && <ImageDiff file={file} />}
      {file.too_large && loading?.error == null && (
        <p className="file-load">
          Its diff was left out, because it is large.{" "}
          <Button busy={loading?.pending === true} onClick={onLoad}>
            Load the diff
          </Button>
        </p>
      )}
      {loading?.error != null && (
        <Problem
          title="Its lines could not be read"
          error={loading.error}
          onRetry={() => void loading.retry()}
        />
      )}
      {thread && <ThreadView thread={thread} />}
    </div>
  );
}
