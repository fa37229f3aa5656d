import { textUpTo } from "../shared/bounded-body.ts";
import { ForgeError } from "./forge.ts";

const TIMEOUT_MS = 15_000;
const URL_LENGTH = 8_000;
const BODY_LENGTH = 1024 * 1024;
const REPLY_BYTES = 8 * 1024 * 1024;
const HEADER_LENGTH = 1_000;
const MAX_REDIRECTS = 3;
/** Responses with these statuses cannot have a body. */
const WITHOUT_BODY = [204, 205, 304];

/** As the libraries that are made for a forge call it. */
export type ForgeFetch = (
  url: string,
  init?: { method?: string; headers?: Record<string, string>; body?: unknown },
) => Promise<Response>;

/**
 * A fetch for the API of one forge: requests and replies are bounded, and go beneath `apiUrl` only, redirects included,
 * because they carry a credential. Any other redirect is the reply itself. A reply is JSON whatever it calls itself, has
 * the headers of `replyHeaders` only, and lacks the credential of its request where the host quotes it.
 * @param options.headers sent with each request.
 * @param options.timeoutMs of one request, its redirects included; default: 15 s.
 * @throws ForgeError for what is out of bounds; what `signal` aborted with; else what fetch throws.
 */
export function createForgeFetch(options: {
  apiUrl: string;
  headers: Readonly<Record<string, string>>;
  replyHeaders: readonly string[];
  signal: AbortSignal;
  timeoutMs?: number;
}): ForgeFetch {
  const { apiUrl, replyHeaders, signal, timeoutMs = TIMEOUT_MS } = options;
  const { host } = new URL(apiUrl);
  const isBeneath = (url: string) =>
    URL.parse(url)?.href.startsWith(`${new URL(apiUrl).href.replace(/\/$/, "")}/`);
  const outOfBounds = (what: string) => new ForgeError("invalid", `${what} was not sent to ${host}.`);

  return async (url, init = {}) => {
    if (!isBeneath(url)) throw outOfBounds("A request for another host or path");
    if (url.length > URL_LENGTH)
      throw outOfBounds(`A request whose URL is longer than ${URL_LENGTH} characters`);
    const body = init.body === undefined || init.body === null ? null : String(init.body);
    if (body && body.length > BODY_LENGTH)
      throw outOfBounds(`A request of more than ${BODY_LENGTH} characters`);
    const headers = { ...init.headers, ...options.headers };
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);

    const method = init.method ?? "GET";
    let reply = await send(url, { method, headers, body, signal: limit });
    for (let hops = 0; hops < MAX_REDIRECTS; hops += 1) {
      const next = redirectOf(reply, method);
      if (!next || !isBeneath(next)) break;
      await reply.body?.cancel().catch(() => undefined);
      reply = await send(next, { method, headers, body, signal: limit });
    }
    return bounded(reply, headers["authorization"]);
  };

  async function send(url: string, init: RequestInit): Promise<Response> {
    signal.throwIfAborted();
    return fetch(url, { ...init, redirect: "manual" });
  }

  async function bounded(reply: Response, authorization: string | undefined): Promise<Response> {
    const text = await textUpTo(reply, REPLY_BYTES).catch((error: unknown) => {
      signal.throwIfAborted();
      throw new ForgeError(
        "unavailable",
        `The reply of ${host} could not be read: it broke off, or was too large.`,
        {
          cause: error,
        },
      );
    });
    const credential = authorization?.split(" ").at(-1);
    const headers = new Headers({ "content-type": "application/json" });
    for (const name of replyHeaders) {
      const value = reply.headers.get(name);
      if (value && value.length <= HEADER_LENGTH) headers.set(name, value);
    }
    const { status } = reply;
    return new Response(
      WITHOUT_BODY.includes(status) ? null : credential ? text.replaceAll(credential, "***") : text,
      { status, headers },
    );
  }
}

/** Where to send the same request again. A redirect that would change a write into a read is none. */
function redirectOf(reply: Response, method: string): string | undefined {
  const location = reply.headers.get("location");
  const repeats =
    [307, 308].includes(reply.status) || ([301, 302].includes(reply.status) && method === "GET");
  return repeats && location ? URL.parse(location, reply.url)?.href : undefined;
}
