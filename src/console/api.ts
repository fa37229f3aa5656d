import { PromptBackend } from "../../sdk/src/index.ts";
import { early } from "./asked.ts";

/** Derived by the server from the sign-in's cookie: no other site can send it. Known once the session was asked for. */
let csrfToken: string | undefined;

export function setCsrfToken(token: string | null): void {
  csrfToken = token ?? undefined;
}

/** The service that this page comes from, by the cookie of the sign-in. */
export const client = new PromptBackend({
  baseUrl: "/",
  csrfToken: () => csrfToken,
  fetch: early.fetch as typeof fetch,
});
