import { FIRST_PAGE } from "./live/sessions.ts";
import { keep, kept } from "./ui/storage.ts";

const SIGN_IN = "/auth/session";
/** Of somebody who is signed in, as live/sessions.ts and new/queries.ts ask for it. */
const OF_THE_INBOX = [`/sessions?limit=${FIRST_PAGE}`, "/me"];
/** Later than this, somebody else may have signed in. */
const FRESH_MS = 10_000;
/** In the browser's storage, while somebody is signed in. */
const SIGNED_IN = "prompt-backend:signed-in";

export const wasSignedIn = (): boolean => kept(SIGNED_IN) !== undefined;
export const keepSignedIn = (signedIn: boolean): void => keep(SIGNED_IN, signedIn ? "yes" : undefined);

/**
 * Asks for what the inbox needs before its parts are there that need it: `begin` is called before the rest of the script is
 * evaluated. Each answer serves one request, the first that would have asked for the same.
 */
export function askEarly(send: (input: RequestInfo | URL, init?: RequestInit) => Promise<Response>) {
  const answers = new Map<string, { at: number; answer: Promise<Response | undefined> }>();
  const ask = (path: string) => {
    const answer = send(path).catch(() => undefined);
    answers.set(path, { at: Date.now(), answer });
    return answer;
  };

  return {
    /** @param signedIn whether this browser was, when it last asked: then the rest is asked for at once, too. */
    begin(signedIn: boolean): void {
      const signIn = ask(SIGN_IN);
      if (signedIn) OF_THE_INBOX.forEach(ask);
      else
        void signIn.then(async (response) => {
          if (response?.ok && (await response.clone().json()).user) OF_THE_INBOX.forEach(ask);
        });
    },

    /** Like `fetch`. What failed early is asked again: whoever asks judges the error. */
    async fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
      const path = pathOf(input);
      const early = (init?.method ?? "GET") === "GET" ? answers.get(path) : undefined;
      answers.delete(path);
      if (!early || Date.now() - early.at > FRESH_MS) return send(input, init);
      const response = await early.answer;
      init?.signal?.throwIfAborted();
      return response?.ok ? response : send(input, init);
    },
  };
}

const pathOf = (input: RequestInfo | URL): string => {
  const { pathname, search } = new URL(input instanceof Request ? input.url : input, "http://page");
  return pathname + search;
};
