import { QueryClient } from "@tanstack/react-query";
import { APIError, ConnectionError } from "../../sdk/src/index.ts";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 5_000;

/** Whether the service is only away: started again, or behind a proxy that cannot reach it. */
export const isAway = (error: unknown): boolean =>
  error instanceof ConnectionError || (error instanceof APIError && error.status >= 502);

/** While the service is away, reading goes on until it is back. Other errors are shown. */
export const createQueries = (): QueryClient =>
  new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 10_000,
        networkMode: "always",
        retry: (_failures, error) => isAway(error),
        retryDelay: (failures) => Math.min(FIRST_RETRY_MS * 2 ** failures, LONGEST_RETRY_MS),
      },
      mutations: { networkMode: "always" },
    },
  });
