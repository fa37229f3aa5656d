import { asList, asNumber, asObject, asString } from "./json.ts";
import type { EditHunk } from "./row.ts";

/** Most lines that are compared one by one; beyond that all old ones are shown as removed, all new ones as added. */
const MAX_COMPARED = 400;
/** Unchanged lines shown around a change. */
const CONTEXT = 3;

/** What a call of Claude Code's tools Edit, MultiEdit or Write changes; undefined: it is none of these. */
export function editOf(name: string, input: unknown): readonly EditHunk[] | undefined {
  const { old_string: old, new_string: made, edits, content } = asObject(input) ?? {};
  if (name === "Write" && typeof content === "string")
    return [{ oldStart: undefined, newStart: 1, lines: linesOf(content).map((line) => `+${line}`) }];
  if (name === "Edit" && typeof old === "string" && typeof made === "string") return [compare(old, made)];
  if (name !== "MultiEdit") return undefined;
  const pairs = asList(edits).flatMap((one) => {
    const { old_string: old, new_string: made } = asObject(one) ?? {};
    return typeof old === "string" && typeof made === "string" ? [compare(old, made)] : [];
  });
  return pairs.length > 0 ? pairs : undefined;
}

/** The same with its line numbers, of the `tool_use_result` that Claude Code prints beside the result of an edit. */
export function patchOf(toolUseResult: unknown): readonly EditHunk[] | undefined {
  const hunks = asList(asObject(toolUseResult)?.["structuredPatch"]).flatMap((one) => {
    const { oldStart, newStart, lines } = asObject(one) ?? {};
    const texts = asList(lines).map(asString);
    if (texts.length === 0 || !texts.every((line) => line !== undefined)) return [];
    return [{ oldStart: asNumber(oldStart), newStart: asNumber(newStart), lines: texts }];
  });
  return hunks.length > 0 ? hunks : undefined;
}

function compare(before: string, after: string): EditHunk {
  const old = linesOf(before);
  const made = linesOf(after);
  let start = 0;
  while (start < old.length && start < made.length && old[start] === made[start]) start += 1;
  let end = 0;
  while (
    end < old.length - start &&
    end < made.length - start &&
    old[old.length - 1 - end] === made[made.length - 1 - end]
  )
    end += 1;
  const lines = [
    ...old.slice(Math.max(0, start - CONTEXT), start).map((line) => ` ${line}`),
    ...changes(old.slice(start, old.length - end), made.slice(start, made.length - end)),
    ...old.slice(old.length - end, old.length - end + CONTEXT).map((line) => ` ${line}`),
  ];
  return { oldStart: undefined, newStart: undefined, lines };
}

/** By the longest common subsequence of lines. */
function changes(old: readonly string[], made: readonly string[]): string[] {
  if (old.length * made.length > MAX_COMPARED * MAX_COMPARED)
    return [...old.map((line) => `-${line}`), ...made.map((line) => `+${line}`)];
  const width = made.length + 1;
  const lengths = new Uint32Array((old.length + 1) * width);
  const at = (i: number, j: number) => lengths[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i -= 1)
    for (let j = made.length - 1; j >= 0; j -= 1)
      lengths[i * width + j] =
        old[i] === made[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  const lines: string[] = [];
  for (let i = 0, j = 0; i < old.length || j < made.length; ) {
    if (i < old.length && j < made.length && old[i] === made[j]) {
      lines.push(` ${old[i]}`);
      i += 1;
      j += 1;
    } else if (j >= made.length || (i < old.length && at(i + 1, j) >= at(i, j + 1))) {
      lines.push(`-${old[i]}`);
      i += 1;
    } else {
      lines.push(`+${made[j]}`);
      j += 1;
    }
  }
  return lines;
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}
