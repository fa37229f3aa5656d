import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { APIError, AuthenticationError, ConnectionError } from "../../sdk/src/index.ts";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 5_000;
/** Of the query that says who is signed in. */
export const SIGN_IN_KEY = ["sign-in"] as const;

/** Whether the service is only away: started again, or behind a proxy that cannot reach it. */
export const isAway = (error: unknown): boolean =>
  error instanceof ConnectionError || (error instanceof APIError && error.status >= 502);

/**
 * While the service is away, reading goes on until it is back. Other errors are shown; where it says that nobody is signed in
 * any more, the page asks who is, and offers to sign in.
 */
export function createQueries(): QueryClient {
  const onError = (error: unknown) => {
    if (error instanceof AuthenticationError) void queries.invalidateQueries({ queryKey: SIGN_IN_KEY });
  };
  const queries = new QueryClient({
    queryCache: new QueryCache({ onError }),
    mutationCache: new MutationCache({ onError }),
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
  return queries;
}
