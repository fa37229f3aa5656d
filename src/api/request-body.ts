import { AppError } from "../shared/errors.ts";
import { MAX_BODY_BYTES, tooLarge } from "./body-limits.ts";

/** Levels of arrays and objects inside each other; more than any client needs, less than any parser minds. */
const MAX_DEPTH = 64;
const JSON_TYPE = /^\s*(application\/json|[\w.+-]+\/[\w.+-]+\+json)\s*(;|$)/i;

/**
 * Reads a body as JSON that can be stored, and no more of it than may be: for guarded routes, whose guard has looked at
 * the token before. Where there is no body it is null, which each route's schema judges.
 * @throws AppError `too_large`, `unsupported_media_type`, `bad_request` or `invalid`.
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
  return jsonOf(bytes);
}

/** @throws AppError `bad_request` or `invalid`: no JSON, or none that can be stored. */
export function jsonOf(bytes: Uint8Array): unknown {
  const value = parse(decode(bytes));
  requireStorable(value);
  return value;
}

/** A body as it comes, and no more of it than may be. @throws AppError `too_large`. */
export async function readBytes(request: Request): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let size = 0;
  // A chunked body has no length to look at beforehand.
  for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, size);
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

/** PostgreSQL's JSON has no NUL and no half of a surrogate pair. Without recursion: the depth is not known yet. */
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
      "The body contains half of a surrogate pair (\\ud800 to \\udfff), which is no character and cannot be stored.",
    );
}
