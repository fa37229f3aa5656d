/** A body that this proxy cannot read in exactly one way; `message` is for the agent. */
export class UnreadableBody extends Error {
  override readonly name = "UnreadableBody";
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];

/** Far more than any request has: reading millions of values takes seconds, in which this process does nothing else. */
const MOST_VALUES = 500_000;
const MOST_KEYS = 1_000;
/** A smaller body cannot have so many more. */
const SMALL_BYTES = 1024 * 1024;

/** Nothing is left out or replaced: two readers could do it differently. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Keys that say what a request may cost. */
const READ: ReadonlySet<string> = new Set([
  ...["model", "max_tokens", "max_output_tokens", "max_completion_tokens", "n", "background", "tools"],
  ...["service_tier", "speed", "inference_geo", "previous_response_id", "conversation", "prompt"],
  ...["container", "mcp_servers", "messages", "input", "system", "stream", "fallbacks", "models"],
]);
/** Objects that have such keys, too. */
const SETTINGS: ReadonlySet<string> = new Set(["generationconfig", "generation_config"]);

/**
 * A JSON object of a request. One that has a key twice is refused: what is read here could be another value than what the API
 * reads, and so another model or another limit.
 * @throws UnreadableBody
 */
export function readObject(body: Uint8Array): Readonly<Record<string, unknown>> {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.length > SMALL_BYTES && valuesIn(bytes) > MOST_VALUES)
    throw new UnreadableBody(`The body has more than ${MOST_VALUES} values.`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(UTF8.decode(bytes));
  } catch {
    throw new UnreadableBody("The body is not valid JSON.");
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw new UnreadableBody("The body must be a JSON object.");
  refuseRepeated(bytes, true);
  return parsed as Record<string, unknown>;
}

function refuseRepeated(bytes: Buffer, isBody: boolean): void {
  const seen = new Set<string>();
  const keys = keysOf(bytes);
  for (const [index, { key, to }] of keys.entries()) {
    // As one, also if they differ in case only: there are readers which take them for the same.
    const folded = key.toUpperCase().toLowerCase();
    if (seen.has(folded)) throw new UnreadableBody(`The body has "${key.slice(0, 50)}" twice.`);
    if (isBody && folded !== key && READ.has(folded))
      throw new UnreadableBody(`The body's "${key.slice(0, 50)}" must be written "${folded}".`);
    if (isBody && SETTINGS.has(folded)) refuseRepeated(bytes.subarray(to, keys[index + 1]?.from), false);
    seen.add(folded);
  }
}

/** How many values a JSON text has at most, whether it is valid or not. */
function valuesIn(bytes: Buffer): number {
  let values = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at += 1;
      while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
    } else if (byte === COMMA || byte === OPEN_BRACE || byte === OPEN_BRACKET) values += 1;
  }
  return values;
}

/**
 * The keys of a valid JSON object, and where they stand; not of those in it. A tight loop over bytes: it passes all of a conversation
 * at each call.
 */
function keysOf(bytes: Buffer): { key: string; from: number; to: number }[] {
  const keys: { key: string; from: number; to: number }[] = [];
  let depth = 0;
  let isKey = false;
  for (let at = 0; at < bytes.length; at += 1) {
    switch (bytes[at]) {
      case QUOTE: {
        const from = at;
        at += 1;
        while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
        if (keys.length > MOST_KEYS) throw new UnreadableBody(`The body has more than ${MOST_KEYS} keys.`);
        if (isKey)
          keys.push({ key: String(JSON.parse(bytes.toString("utf8", from, at + 1))), from, to: at + 1 });
        isKey = false;
        break;
      }
      case OPEN_BRACE:
        depth += 1;
        isKey = depth === 1;
        break;
      case OPEN_BRACKET:
        depth += 1;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        depth -= 1;
        break;
      case COMMA:
        isKey = depth === 1;
        break;
    }
  }
  return keys;
}
