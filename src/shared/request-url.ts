import { AppError } from "./errors.ts";

/** What a host and port may consist of, less the comma, which is between the values of two Host headers. */
const HOST = /^[\w\-.~!$&'()*+;=%:[\]]*$/;

/**
 * Makes the URL of a request that Bun received absolute, because Bun 1.4 gives the path alone where Host is missing or is
 * none to it, and otherwise joins the two unchecked. Without a Host, which HTTP/1.0 allows, the request is for `localhost`.
 * The Request stays the same object: its address, its timeout and its id are found by it.
 * @returns what is wrong with a request that must be refused.
 */
export function completeUrl(request: Request): AppError | undefined {
  const host = request.headers.get("host") ?? "";
  const { url: received } = request;
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
