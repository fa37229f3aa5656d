import type { ForgeHost } from "../config/forge-hosts.ts";
import { messageOf } from "../shared/errors.ts";
import { createForgeFetch } from "./bounded-fetch.ts";
import { ForgeError } from "./forge.ts";
import { RestRefusal } from "./rest-errors.ts";

export interface RestRequest {
  method?: "GET" | "POST" | "PUT";
  /** Beneath the API's URL, encoded. */
  path: string;
  query?: Readonly<Record<string, string | number>>;
  body?: object | undefined;
}

export interface RestReply {
  /** Undefined: it was empty. */
  body: unknown;
  headers: Headers;
}

/** @throws RestRefusal; ForgeError; what the signal of the call aborted with. */
export type RestCall = (request: RestRequest) => Promise<RestReply>;

/** Makes the JSON requests of one call of a forge. @param scheme of the Authorization header. */
export function createRestCall(
  host: ForgeHost,
  options: { scheme: "Bearer" | "token"; signal: AbortSignal },
): RestCall {
  const { credential, apiUrl } = host;
  const { scheme, signal } = options;
  const name = new URL(apiUrl).host;
  const send = createForgeFetch({
    apiUrl,
    headers: {
      accept: "application/json",
      "user-agent": "prompt-backend",
      ...(credential?.kind === "token" && { authorization: `${scheme} ${credential.token.reveal()}` }),
    },
    replyHeaders: ["location", "ratelimit-reset", "retry-after", "x-total-count"],
    signal,
  });
  return async ({ method = "GET", path, query = {}, body }) => {
    const url = new URL(`${apiUrl}/${path}`);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, String(value));
    const json = body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const reply = await send(url.href, { method, ...json }).catch((error: unknown) => {
      signal.throwIfAborted();
      if (error instanceof ForgeError) throw error;
      throw new ForgeError("unavailable", `${name} could not be reached (${messageOf(error)}).`);
    });
    const text = await reply.text();
    if (!reply.ok) throw new RestRefusal(reply.status, text, reply.headers);
    try {
      return { body: text === "" ? undefined : JSON.parse(text), headers: reply.headers };
    } catch {
      throw new ForgeError("unavailable", `${name} sent a reply that is not JSON. Is it the URL of its API?`);
    }
  };
}
