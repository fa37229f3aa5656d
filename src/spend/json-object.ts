/** A body that this proxy cannot read in exactly one way; `message` is for the agent. */
export class UnreadableBody extends Error {
  override readonly name = "UnreadableBody";
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPENS: ReadonlySet<number> = new Set([0x7b, 0x5b]);
const CLOSES: ReadonlySet<number> = new Set([0x7d, 0x5d]);

/** Nothing is left out or replaced: two readers could do it differently. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Keys that say what a request may cost. */
const READ: ReadonlySet<string> = new Set([
  ...["model", "max_tokens", "max_output_tokens", "max_completion_tokens", "n", "background", "tools"],
  ...["service_tier", "speed", "inference_geo", "previous_response_id", "conversation", "prompt"],
  ...["container", "mcp_servers", "messages", "input", "system", "stream"],
]);

/**
 * A JSON object of a request. One that has a key twice is refused: what is read here could be another value than what the API
 * reads, and so another model or another limit.
 * @throws UnreadableBody
 */
export function readObject(body: Uint8Array): Readonly<Record<string, unknown>> {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  let parsed: unknown;
  try {
    parsed = JSON.parse(UTF8.decode(bytes));
  } catch {
    throw new UnreadableBody("The body is not valid JSON.");
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw new UnreadableBody("The body must be a JSON object.");
  const seen = new Set<string>();
  for (const key of keysOf(bytes)) {
    // As one, also if they differ in case only: there are readers which take them for the same.
    const folded = key.toUpperCase().toLowerCase();
    if (seen.has(folded)) throw new UnreadableBody(`The body has "${key.slice(0, 50)}" twice.`);
    if (folded !== key && READ.has(folded))
      throw new UnreadableBody(`The body's "${key.slice(0, 50)}" must be written "${folded}".`);
    seen.add(folded);
  }
  return parsed as Record<string, unknown>;
}

/** The keys of a valid JSON object, not of those in it, as they are written. Strings are skipped at the speed of a search. */
function* keysOf(bytes: Buffer): Generator<string> {
  let depth = 0;
  let isKey = false;
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at] ?? 0;
    if (byte === QUOTE) {
      const end = endOfString(bytes, at);
      if (isKey) yield String(JSON.parse(bytes.toString("utf8", at, end)));
      isKey = false;
      at = end;
      continue;
    }
    if (OPENS.has(byte)) depth += 1;
    else if (CLOSES.has(byte)) depth -= 1;
    if (depth === 1 && (byte === COMMA || (OPENS.has(byte) && !isKey))) isKey = true;
    at += 1;
  }
}

/** @returns the byte behind the string that begins at `from`. */
function endOfString(bytes: Buffer, from: number): number {
  for (let quote = bytes.indexOf(QUOTE, from + 1); quote !== -1; quote = bytes.indexOf(QUOTE, quote + 1)) {
    let before = quote - 1;
    while (bytes[before] === BACKSLASH) before -= 1;
    // An even number of backslashes before it: it is not escaped itself.
    if ((quote - 1 - before) % 2 === 0) return quote + 1;
  }
  return bytes.length;
}
