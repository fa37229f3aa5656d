import { type UseQueryResult, useQueries } from "@tanstack/react-query";
import { useCallback, useMemo, useState } from "react";
import type { DiffOutput, FileDiffDto } from "../../../sdk/src/index.ts";
import type { Loading } from "./file-body.tsx";
import { fileDiffQuery } from "./queries.ts";

/** The files of a diff, and in place of some the same with more lines, each read when it was asked for. */
export function useLoadedFiles(sessionId: string, diff: DiffOutput, prompt: string | undefined) {
  const [wanted, setWanted] = useState<ReadonlyMap<string, number>>(() => new Map());
  const load = useCallback(
    (path: string, context: number) => setWanted((now) => new Map(now).set(path, context)),
    [],
  );
  const paths = useMemo(() => [...wanted.keys()], [wanted]);
  const results = useQueries({
    queries: [...wanted].map(([path, context]) => fileDiffQuery(sessionId, diff, { path, context, prompt })),
    combine,
  });
  const files = useMemo(() => {
    const loaded = new Map(
      results.flatMap(({ data }, index) => (data ? [[paths[index], data] as const] : [])),
    );
    return diff.files.map((file): FileDiffDto => loaded.get(file.path) ?? file);
  }, [diff.files, results, paths]);
  const loadingOf = useCallback(
    (file: FileDiffDto): Loading | undefined => results[paths.indexOf(file.path)],
    [results, paths],
  );
  return { files, load, loadingOf };
}

const combine = (
  all: readonly Pick<UseQueryResult<FileDiffDto | null>, "data" | "error" | "isPending" | "refetch">[],
) => all.map(({ data, error, isPending, refetch }) => ({ data, error, pending: isPending, retry: refetch }));
