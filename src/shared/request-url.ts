import { setBounded } from "./bounded-map.ts";
import { AppError } from "./errors.ts";

/** What a host and port may consist of, less the comma, which is between the values of two Host headers. */
const HOST = /^[\w\-.~!$&'()*+;=%:[\]]*$/;

/** Hosts that were found to be valid: most requests name one of a few. */
const known = new Map<string, true>();
const MAX_KNOWN = 100;

function isHost(host: string): boolean {
  if (known.has(host)) return true;
  const valid = host !== "" && HOST.test(host) && URL.canParse(`http://${host}/`);
  if (valid) setBounded(known, host, true, MAX_KNOWN);
  return valid;
}

/** The path of an absolute http URL: what `new URL(url).pathname` is for those that Bun gives to a server. */
export function pathOf(url: string): string {
  const begin = url.indexOf("/", "http://".length);
  if (begin < 0) return "/";
  const query = url.indexOf("?", begin);
  return query < 0 ? url.slice(begin) : url.slice(begin, query);
}

/**
 * Makes the URL of a request that Bun received absolute, because Bun 1.4 gives the path alone where Host is missing or is
 * none to it, and otherwise joins the two unchecked. Without a Host, which HTTP/1.0 allows, the request is for `localhost`.
 * The Request stays the same object: its address, its timeout and its id are found by it.
 * @returns what is wrong with a request that must be refused.
 */
export function completeUrl(request: Request): AppError | undefined {
  const host = request.headers.get("host") ?? "";
  const { url: received } = request;
  if (isHost(host) && received.startsWith(`http://${host}/`)) return undefined;
  const url = received.startsWith("/") ? `http://${host || "localhost"}${received}` : received;
  if (!HOST.test(host) || (url.startsWith("http://") && !URL.canParse(url)))
    return new AppError(
      "bad_request",
      "The Host header must be one host name or address, with or without a port.",
    );
  if (!url.startsWith("http://"))
    return new AppError("bad_request", "The request must be for a path, which begins with a slash.");
  if (url !== received) Object.defineProperty(request, "url", { value: url });
  return undefined;
}
