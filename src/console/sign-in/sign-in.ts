import { queryOptions } from "@tanstack/react-query";
import { client, setCsrfToken } from "../api.ts";
import { keepSignedIn } from "../early.ts";
import { SIGN_IN_KEY } from "../queries.ts";

/** Who is signed in, and how to sign in. It decides what the page shows. */
export const signInQuery = queryOptions({
  queryKey: SIGN_IN_KEY,
  queryFn: async ({ signal }) => {
    const state = await client.auth.session({ signal });
    setCsrfToken(state.csrf_token);
    keepSignedIn(state.user !== null);
    return state;
  },
  staleTime: 5 * 60_000,
});
