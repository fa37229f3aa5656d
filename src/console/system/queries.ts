import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { client } from "../api.ts";
import type { AuditFilter } from "./address.ts";

/** TanStack Query does not refetch in a hidden page. */
const EVERY_MS = 5_000;
const AUDIT_PAGE = 50;

export const statusQuery = queryOptions({
  queryKey: ["system", "status"],
  queryFn: ({ signal }) => client.system.status({ signal }),
  refetchInterval: EVERY_MS,
});

/** Each reading is an entry of the log: nothing reads it but the user. */
const ONLY_ON_DEMAND = {
  staleTime: Number.POSITIVE_INFINITY,
  refetchOnReconnect: false,
  refetchOnWindowFocus: false,
} as const;

export const auditQuery = (filter: AuditFilter) =>
  infiniteQueryOptions({
    queryKey: ["system-audit", filter],
    queryFn: ({ signal, pageParam }) =>
      client.audit.list(
        { ...filter, limit: AUDIT_PAGE, ...(pageParam !== null && { cursor: pageParam }) },
        { signal },
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.nextCursor,
    ...ONLY_ON_DEMAND,
  });
