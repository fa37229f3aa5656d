import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { APIError } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import type { AuditFilter } from "./address.ts";

/** TanStack Query does not refetch in a hidden page. */
const EVERY_MS = 5_000;
const AUDIT_PAGE = 50;
const REFUSED_HOSTS = 20;

export const detailQuery = queryOptions({
  queryKey: ["system", "detail"],
  queryFn: ({ signal }) => client.health.detail({ signal }),
  refetchInterval: EVERY_MS,
});

/** What is missing before requests can be served and prompts run; none: the service is ready. */
export const readinessQuery = queryOptions({
  queryKey: ["system", "ready"],
  queryFn: async ({ signal }): Promise<string[]> => {
    try {
      await client.health.ready({ signal, maxRetries: 0 });
      return [];
    } catch (error) {
      if (error instanceof APIError && error.status === 503)
        return error.msg
          .replace(/^Not ready: /, "")
          .replace(/\.$/, "")
          .split("; ");
      throw error;
    }
  },
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

/** The last connections that agents were refused. */
export const refusedHostsQuery = queryOptions({
  queryKey: ["system-audit", "refused-hosts"],
  queryFn: async ({ signal }) =>
    (await client.audit.list({ action: "egress.refuse", limit: REFUSED_HOSTS }, { signal })).data,
  ...ONLY_ON_DEMAND,
});
