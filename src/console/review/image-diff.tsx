import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { FileDiffDto } from "../../../sdk/src/index.ts";
import { formatBytes } from "../ui/bytes.ts";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { fileQuery } from "./queries.ts";
import { useReview } from "./review-context.ts";

const IMAGE = /\.(png|jpe?g|gif|webp|avif|bmp|ico|svg)"?$/i;
const REGULAR = new Set(["100644", "100755"]);

/** Whether its sides can be shown as pictures. */
export const isImage = (file: FileDiffDto): boolean =>
  IMAGE.test(file.path) &&
  [file.old_mode, file.new_mode].every((mode) => mode === null || REGULAR.has(mode)) &&
  (file.binary || /\.svg$/i.test(file.path));

/** A picture before and after. It is shown from memory, where nothing in it runs. */
export function ImageDiff({ file }: { file: FileDiffDto }) {
  const { compared } = useReview();
  const { old_mode: before, new_mode: after } = file;
  return (
    <div className="image-diff">
      {before !== null && (
        <Picture caption="Before" path={file.old_path ?? file.path} commit={compared.base} />
      )}
      {after !== null && <Picture caption="After" path={file.path} commit={compared.head} />}
    </div>
  );
}

/** A picture of the repository, at a commit. */
export function Picture({ caption, path, commit }: { caption: string; path: string; commit: string }) {
  const { sessionId } = useReview();
  const { data, error, refetch } = useQuery(fileQuery(sessionId, { path, ref: commit }));
  const [url, setUrl] = useState<string>();
  const [broken, setBroken] = useState(false);
  useEffect(() => {
    if (!data) return;
    const made = URL.createObjectURL(data);
    setUrl(made);
    setBroken(false);
    return () => URL.revokeObjectURL(made);
  }, [data]);
  return (
    <figure>
      <figcaption>
        {caption}
        {data && <span className="muted"> {formatBytes(data.size)}</span>}
      </figcaption>
      {error && !data ? (
        <Problem title="It could not be read" error={error} onRetry={() => void refetch()} />
      ) : !data || url === undefined ? (
        <Loading what="the picture" />
      ) : broken ? (
        <p className="muted">This browser cannot show it.</p>
      ) : (
        <img src={url} alt={`${caption} the change`} onError={() => setBroken(true)} />
      )}
    </figure>
  );
}
