import { PromptBackend } from "../../sdk/src/index.ts";

/** Derived by the server from the sign-in's cookie: no other site can send it. Known once the session was asked for. */
let csrfToken: string | undefined;

export function setCsrfToken(token: string | null): void {
  csrfToken = token ?? undefined;
}

/** The service that this page comes from, by the cookie of the sign-in. */
export const client = new PromptBackend({
  baseUrl: "/",
  fetch: ((url: string, init: RequestInit) => {
    const headers = new Headers(init.headers);
    if (csrfToken !== undefined && !/^(GET|HEAD)$/i.test(init.method ?? "GET"))
      headers.set("x-csrf-token", csrfToken);
    return fetch(url, { ...init, headers });
  }) as typeof fetch,
});
