import type { Refusal } from "../sandboxes/sandbox.ts";
import type { Redactor } from "./redact.ts";

/** Longer lines are looked at in parts, each of which begins with this much of the end of the one before. */
const MAX_LINE = 1024 * 1024;
const OVERLAP = 64 * 1024;
/** Files and messages that are named: in the reason, and for each secret. */
const MAX_NAMED = 10;

/** Looks for secrets in what a push would send, which comes as messages, indented, and a diff. */
interface LeakSearch {
  take(part: Uint8Array): void;
  /** What was found, and where. */
  refusal(): Refusal | undefined;
}

/**
 * What lines of the diff take away does not count: to take a secret out of a repository is no leak. Neither do the heads of hunks:
 * they quote what is there already.
 */
export function createLeakSearch(redactor: Redactor): LeakSearch {
  let rest = "";
  let file: string | undefined;
  const found = new Map<string, Set<string>>();
  const look = (line: string) => {
    if (line.startsWith("-") || line.startsWith("@@")) return;
    if (line.startsWith("diff --")) file = "a path";
    else if (line.startsWith("+++ b/")) file = nameOf(line, redactor);
    for (const name of redactor.names(line)) {
      const places = found.get(name) ?? new Set();
      found.set(name, places.add(file ?? "a commit message"));
    }
  };
  return {
    take(part) {
      const lines = (rest + Buffer.from(part).toString("latin1")).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) look(line);
      if (rest.length <= MAX_LINE) return;
      look(rest);
      // Still a line that is added, or taken away.
      rest = `${rest.slice(0, 1)}${rest.slice(-OVERLAP)}`;
    },
    refusal() {
      look(rest);
      rest = "";
      if (found.size === 0) return undefined;
      const all = [...found].flatMap(([name, places]) => [...places].map((place) => `${name} in ${place}`));
      const more = all.length > MAX_NAMED ? `, and ${all.length - MAX_NAMED} more` : "";
      return {
        reason: `its commits have secrets of the project (${all.slice(0, MAX_NAMED).join(", ")}${more})`,
        secrets: Object.fromEntries(
          [...found].map(([name, places]) => [name, [...places].slice(0, MAX_NAMED)]),
        ),
      };
    },
  };
}

/** @param line as latin1. */
const nameOf = (line: string, redactor: Redactor) =>
  redactor.text(Buffer.from(line.slice(6).trimEnd(), "latin1").toString("utf8")).toWellFormed();
