import { Elysia } from "elysia";
import { AppError } from "../shared/errors.ts";
import { pathOf } from "../shared/request-url.ts";

/** Largest request body, in bytes. */
export const MAX_BODY_BYTES = 1024 * 1024;
/** The same for prompts with attachments: what attachments/blocks.ts allows, in base64, beside a body. */
export const MAX_PROMPT_BODY_BYTES = 29 * 1024 * 1024;
/** Bytes of such bodies that are read at the same time; it takes some more to parse them. */
const MAX_READ_BYTES = 4 * MAX_PROMPT_BODY_BYTES;
const READ_RETRY_S = 5;
/** Deepest nesting of arrays and objects: more than any client needs, less than would trouble a parser. */
const MAX_DEPTH = 64;
const QUOTE = 34;
const BACKSLASH = 92;
const JSON_TYPE = /^\s*(application\/json|[\w.+-]+\/[\w.+-]+\+json)\s*(;|$)/i;

const tooLarge = (limit: number) => new AppError("too_large", `The body is larger than ${limit} bytes.`);

/** What may carry attachments. */
const limitOf = (request: Request) =>
  (request.method === "POST" &&
    /^\/(prompts|sessions|sessions\/with-prompt)\/?$/.test(pathOf(request.url))) ||
  (request.method === "PUT" && /^\/prompts\/[^/]+$/.test(pathOf(request.url)))
    ? MAX_PROMPT_BODY_BYTES
    : MAX_BODY_BYTES;

/**
 * Refuses what no route can use: a Content-Length above the limit, and query parameters with NUL, which PostgreSQL cannot
 * store.
 */
export const requestLimits = () =>
  new Elysia({ name: "request-body" })
    .onRequest(({ request }) => {
      const limit = limitOf(request);
      if (Number(request.headers.get("content-length") ?? 0) > limit) throw tooLarge(limit);
    })
    .onTransform({ as: "global" }, ({ query }) => {
      for (const name in query)
        if ([query[name]].flat().some((one) => typeof one === "string" && one.includes("\0")))
          throw new AppError("invalid", `${name}: contains a NUL character (%00).`);
    });

/**
 * Reads and parses a JSON body within the size limit. For guarded routes: the guard has checked the token by then.
 * @returns null without a body, and for null; each route's schema decides whether that is allowed.
 * @throws AppError `too_large`, `unsupported_media_type`, `unsupported_content_encoding`, `bad_request`, `malformed_json` or
 *   `invalid`.
 */
export async function readJson({ request }: { request: Request }): Promise<unknown> {
  const bytes = await readBytes(request);
  if (bytes.length === 0) return null;
  const type = request.headers.get("content-type");
  if (type !== null && !JSON_TYPE.test(type))
    throw new AppError(
      "unsupported_media_type",
      "The body must be JSON: send it with the header `Content-Type: application/json`.",
    );
  requireIdentity(request);
  const value = parseJson(bytes);
  if (typeof value !== "object" || Array.isArray(value))
    throw new AppError(
      "invalid",
      `The body must be a JSON object, not ${Array.isArray(value) ? "an array" : `a ${typeof value}`}.`,
    );
  return value;
}

/** @throws AppError `unsupported_content_encoding` for a compressed body. */
export function requireIdentity(request: Request): void {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && !/^\s*(identity)?\s*$/i.test(encoding))
    throw new AppError(
      "unsupported_content_encoding",
      "Compressed bodies are not supported: send the body without a Content-Encoding.",
    );
}

/**
 * @throws AppError `bad_request`, `malformed_json` or `invalid` for what is not JSON, or JSON that cannot be stored; `too_large`
 *   for a large body that is not so by its texts.
 */
export function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length > MAX_BODY_BYTES) requireFewValues(bytes);
  const value = parse(decode(bytes));
  requireStorable(value);
  return value;
}

/** Of large bodies, in this process. */
let reading = 0;

/** The raw body, read only up to the size limit. @throws AppError `too_large`; `rate_limited` while others fill the memory. */
export async function readBytes(request: Request): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array();
  const limit = limitOf(request);
  const chunks: Uint8Array[] = [];
  let size = 0;
  let held = 0;
  try {
    // A chunked body has no Content-Length to check beforehand.
    for await (const chunk of request.body) {
      size += chunk.length;
      if (size > limit) throw tooLarge(limit);
      chunks.push(chunk);
      if (size <= MAX_BODY_BYTES) continue;
      reading += size - held;
      held = size;
      if (reading > MAX_READ_BYTES)
        throw new AppError("rate_limited", "Too many large requests at the same time.", {
          retryAfter: READ_RETRY_S,
        });
    }
  } finally {
    reading -= held;
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, size);
}

/**
 * Larger bodies are large by the base64 in their texts. Of 28 MB that are all brackets and commas, parsing would make gigabytes
 * and hold up everybody for many seconds, so that what is outside of texts may be as long as any other body.
 */
function requireFewValues(bytes: Uint8Array): void {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let outside = 0;
  for (let at = 0; at < text.length; ) {
    const begin = text.indexOf(QUOTE, at);
    outside += (begin < 0 ? text.length : begin) - at + 2;
    if (outside > MAX_BODY_BYTES)
      throw new AppError("too_large", `The body has more than ${MAX_BODY_BYTES} bytes outside of its texts.`);
    if (begin < 0) return;
    let end = text.indexOf(QUOTE, begin + 1);
    while (end >= 0 && isEscaped(text, end)) end = text.indexOf(QUOTE, end + 1);
    if (end < 0) return;
    at = end + 1;
  }
}

function isEscaped(text: Uint8Array, at: number): boolean {
  let before = at;
  while (text[before - 1] === BACKSLASH) before -= 1;
  return (at - before) % 2 === 1;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new AppError("bad_request", "The body is not valid UTF-8.");
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AppError("malformed_json", "The body is not valid JSON.");
  }
}

/** PostgreSQL's JSON allows neither NUL nor an unpaired surrogate. Iterative, because the depth is not known yet. */
function requireStorable(root: unknown): void {
  const open: [value: unknown, depth: number][] = [[root, 1]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [value, depth] = next;
    if (typeof value === "string") requireText(value);
    if (typeof value !== "object" || value === null) continue;
    if (depth > MAX_DEPTH)
      throw new AppError("invalid", `The body is nested more than ${MAX_DEPTH} levels deep.`);
    if (Array.isArray(value)) for (const one of value) open.push([one, depth + 1]);
    else
      for (const [key, one] of Object.entries(value)) {
        requireText(key);
        open.push([one, depth + 1]);
      }
  }
}

function requireText(text: string): void {
  if (text.includes("\0"))
    throw new AppError("invalid", "The body contains a NUL character (\\u0000), which cannot be stored.");
  if (!text.isWellFormed())
    throw new AppError(
      "invalid",
      "The body contains an unpaired surrogate (\\ud800 to \\udfff), which cannot be stored.",
    );
}
