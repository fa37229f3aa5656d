import type { AgentReader } from "../agents/agent.ts";
import { createSearch } from "./search.ts";

/** Shorter values would be found in everything. */
const MIN_CHARS = 6;
/** A line of a value of several lines is a secret by itself from this length on: text is stored line by line. */
const MIN_LINE_CHARS = 12;

/** Replaces the values of secrets by their names. */
export interface Redactor {
  /**
   * A text or a line of JSON; what is replaced has no character that JSON escapes. Of a value that is cut by the end of a line
   * or of a text, each part that could not be anything else is replaced, too.
   */
  text(text: string): string;
  /** The same for the bytes of a file. */
  bytes(bytes: Buffer): Buffer;
  /** The secrets that bytes, written as latin1, have in them as a whole. */
  names(latin1: string): string[];
}

/**
 * @param secrets names and values; of a value that was changed, both stand there.
 * @param onReplaced told how many were replaced in a text.
 * @returns undefined: none of them can be looked for.
 */
export function createRedactor(
  secrets: Iterable<readonly [string, string]>,
  onReplaced?: (count: number) => void,
): Redactor | undefined {
  const needles = new Map<string, string>();
  for (const [name, value] of secrets)
    for (const form of formsOf(value)) if (!needles.has(form)) needles.set(form, `[secret ${name}]`);
  if (needles.size === 0) return undefined;
  const search = createSearch(needles);
  const replacing = (replace: typeof search) => (some: string) => {
    let count = 0;
    const onFound = () => {
      count += 1;
    };
    const replaced = replace(some, { parts: true, onFound });
    if (count > 0) onReplaced?.(count);
    return replaced;
  };
  const inText = replacing(search);
  const utf8 = [...needles].map(([form, mark]): [string, string] => [
    Buffer.from(form).toString("latin1"),
    mark,
  ]);
  const inBytes = createSearch(new Map(utf8));
  const replaceBytes = replacing(inBytes);
  return {
    text(text) {
      const replaced = inText(text);
      // A program may escape any character of its JSON: \u0041 is A.
      if (!/\\[u/]/i.test(replaced) || !replaced.trimStart().startsWith("{")) return replaced;
      return inJson(replaced, inText);
    },
    bytes(bytes) {
      const text = bytes.toString("latin1");
      const replaced = replaceBytes(text);
      return replaced === text ? bytes : Buffer.from(replaced, "latin1");
    },
    names(latin1) {
      const names = new Set<string>();
      inBytes(latin1, { onFound: (mark) => names.add(mark.slice("[secret ".length, -1)) });
      return [...names];
    },
  };
}

/** The same reader, which never sees a secret: neither events nor summaries, nor reasons for a failure, have one. */
export function redactingReader(reader: AgentReader, redactor: Redactor | undefined): AgentReader {
  if (!redactor) return reader;
  return {
    ...reader,
    read: (line) => reader.read(redactor.text(line)),
    verdict: (exit) => reader.verdict({ ...exit, stderr: redactor.text(exit.stderr) }),
  };
}

function inJson(line: string, search: (text: string) => string): string {
  let found = false;
  try {
    const value: unknown = JSON.parse(line, (_key, one: unknown) => {
      if (typeof one !== "string") return one;
      const replaced = search(one);
      found ||= replaced !== one;
      return replaced;
    });
    return found ? JSON.stringify(value) : line;
  } catch {
    return line;
  }
}

/** How a value may be written: as it is, in JSON (in JSON), in base64 with anything before and after it, in a URL. */
function formsOf(value: string): Set<string> {
  const forms = new Set<string>();
  const lines = value.split(/\r?\n/).filter((line) => line.trim().length >= MIN_LINE_CHARS);
  for (const one of [value, value.trim(), ...lines.map((line) => line.trim())]) {
    if (one.length < MIN_CHARS) continue;
    const escaped = inQuotes(one);
    const url = encodeURIComponent(one);
    const lower = url.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
    const json = [escaped, inAscii(escaped), escaped.replaceAll("/", "\\/"), inQuotes(escaped)];
    for (const form of [one, ...json, url, lower, url.replaceAll("%20", "+")]) forms.add(form);
    // As names of hosts are written.
    if (one.length >= MIN_LINE_CHARS) forms.add(one.toLowerCase());
    for (const shift of [0, 1, 2]) {
      const whole = Buffer.concat([Buffer.alloc(shift), Buffer.from(one)]);
      // Of the characters at both ends, the neighbours of the value determine a part.
      const core = whole
        .toString("base64")
        .replace(/=+$/, "")
        .slice(shift === 0 ? 0 : shift + 1, Math.floor((whole.length * 8) / 6));
      if (core.length < MIN_CHARS) continue;
      forms.add(core);
      forms.add(core.replaceAll("+", "-").replaceAll("/", "_"));
    }
  }
  return forms;
}

const inQuotes = (text: string) => JSON.stringify(text).slice(1, -1);
/** As Python writes JSON. */
const inAscii = (text: string) =>
  text.replace(/[^ -~]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
