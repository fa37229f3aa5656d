import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { createContext, useContext, useMemo, useState } from "react";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { openPermissionReads, type Permission } from "./permission-reads.ts";
import type { Row } from "./rows/row.ts";

type Permissions = ReadonlyMap<string, Permission>;

/** Each may have 64 KiB of what a tool would get. */
const PAGE = 50;
const NONE: readonly Permission[] = [];
const Context = createContext<Permissions>(new Map());

/** How the questions of the session's agents stand, by the `request_id` of their event. */
export const Permissions = { Provider: Context, use: () => useContext(Context) };

/**
 * They are read where the conversation has one, and again when the session says that one of its prompts has changed: a question
 * and its answer change what the prompt waits for.
 */
export function usePermissions(session: SessionDto, rows: readonly Row[]): Permissions {
  const { id, promptsVersion, updatedAt, waitingFor } = session;
  const asked = useMemo(() => rows.filter(({ kind }) => kind === "question").length, [rows]);
  // Of several open questions, one that is answered changes the session alone.
  const seen = waitingFor === "permission" ? updatedAt : "";
  const [read] = useState(() =>
    openPermissionReads((cursor, signal) =>
      client.permissions.list(id, { limit: PAGE, ...(cursor !== undefined && { cursor }) }, { signal }),
    ),
  );
  const { data = NONE } = useQuery({
    queryKey: ["session", id, "permissions", promptsVersion, asked, seen],
    queryFn: ({ signal }) => read(signal),
    // Each key is another state of the same, and nobody comes back to an earlier one.
    gcTime: 0,
    enabled: asked > 0,
    placeholderData: keepPreviousData,
  });
  return useMemo(() => new Map(data.map((one) => [one.request_id, one])), [data]);
}
