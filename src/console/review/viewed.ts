import { useCallback, useMemo } from "react";
import type { FileDiffDto } from "../../../sdk/src/index.ts";
import { useStored } from "../ui/stored.ts";

type Marks = Readonly<Record<string, string>>;
const NONE: Marks = {};

/** Which files of a session their user has viewed, as they are: after a change they are to be viewed again. */
export function useViewed(sessionId: string, files: readonly FileDiffDto[]) {
  const [marks, change] = useStored(`prompt-backend:viewed:${sessionId}`, NONE);
  const viewed = useMemo(
    () => new Set(files.filter((file) => marks[file.path] === fingerprint(file)).map(({ path }) => path)),
    [files, marks],
  );
  const toggle = useCallback(
    (file: FileDiffDto) =>
      change((now) => {
        const { [file.path]: mark, ...others } = now;
        if (mark !== fingerprint(file)) return { ...others, [file.path]: fingerprint(file) };
        return Object.keys(others).length > 0 ? others : NONE;
      }),
    [change],
  );
  return { viewed, toggle };
}

const fingerprints = new WeakMap<FileDiffDto, string>();

/** Tells versions of a file's diff apart; not for anything that others may forge. */
function fingerprint(file: FileDiffDto): string {
  const known = fingerprints.get(file);
  if (known !== undefined) return known;
  const text = JSON.stringify(file);
  let hash = 0;
  for (let at = 0; at < text.length; at += 1) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0;
  const made = (hash >>> 0).toString(36);
  fingerprints.set(file, made);
  return made;
}
