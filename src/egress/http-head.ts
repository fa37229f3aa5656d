import { BadRequest } from "./streams.ts";

/** Largest head of a request, bytes. */
const MAX_HEAD_BYTES = 16 * 1024;

/** Headers that belong to one connection, and those that whoever forwards a request writes itself. */
export const NOT_FORWARDED = [
  ...["host", "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"],
  ...["te", "trailer", "transfer-encoding", "upgrade", "http2-settings"],
];

export interface Head {
  method: string;
  target: string;
  /** In the order sent; names as sent. */
  headers: readonly (readonly [name: string, value: string])[];
}

const bad = (what: string) => new BadRequest("400 Bad Request", what);

/** The length of the head at the beginning of these bytes, once it is there. @throws BadRequest if it is too long. */
export function headLength(bytes: Buffer): number | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0 ? bytes.length > MAX_HEAD_BYTES : end + 4 > MAX_HEAD_BYTES)
    throw new BadRequest("431 Request Header Fields Too Large", "The head of the request is too long.");
  return end < 0 ? undefined : end + 4;
}

/**
 * Parses a head in the one form that all servers read alike: a line break alone, a continued line, a space before a colon or
 * a control character is an error here, because another reader might see another request in it.
 * @throws BadRequest
 */
export function parseHead(bytes: Buffer): Head {
  const text = bytes.toString("latin1");
  const [first = "", ...lines] = text.slice(0, -4).split("\r\n");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test([first, ...lines].join("")))
    throw bad("The head of the request has a control character.");
  const [, method, target] = /^([A-Z]{1,32}) ([!-~]+) HTTP\/1\.[01]$/.exec(first) ?? [];
  if (!method || !target) throw bad("The first line of the request is invalid.");
  const headers = lines.map((line) => {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw bad("A header of the request is invalid.");
    return [name, trimBlanks(value)] as const;
  });
  return { method, target, headers };
}

/** By index: an expression with blanks at its end tries each of many blanks as the first one, in quadratic time. */
function trimBlanks(text: string): string {
  const isBlank = (at: number) => text[at] === " " || text[at] === "\t";
  let [start, end] = [0, text.length];
  while (start < end && isBlank(start)) start += 1;
  while (end > start && isBlank(end - 1)) end -= 1;
  return text.slice(start, end);
}

/** The values of a header. */
export const valuesOf = ({ headers }: Head, wanted: string) =>
  headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);

/**
 * The length of the body, which only one Content-Length may say.
 * @throws BadRequest for any other framing, on which two readers could disagree.
 */
export function bodyLength(head: Head): number {
  if (valuesOf(head, "transfer-encoding").length > 0)
    throw new BadRequest("411 Length Required", "Transfer-Encoding is not accepted; send a Content-Length.");
  const lengths = valuesOf(head, "content-length");
  const [length = "0"] = lengths;
  if (lengths.length > 1 || !/^\d{1,15}$/.test(length)) throw bad("Content-Length is invalid.");
  return Number(length);
}

/** Splits `host:port`, with an IPv6 address in brackets. @throws BadRequest */
export function splitTarget(text: string, defaultPort?: number): { host: string; port: number } {
  const [, host, digits] = /^(\[[^\]]*\]|[^:@]*)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = digits === undefined ? defaultPort : Number(digits);
  if (!host || port === undefined || port < 1 || port > 65_535) throw bad("The target is not host:port.");
  return { host, port };
}
