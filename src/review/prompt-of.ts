import type { GitCommit } from "../sandboxes/git/reader.ts";
import type { PromptWork } from "./store.ts";

/**
 * The prompt that each commit is the work of: the first whose work contains it, as the service has recorded it. What a commit
 * says of itself counts for nothing.
 * @param commits all of the session's branch that are shown.
 */
export function promptsOf(
  commits: readonly GitCommit[],
  prompts: readonly PromptWork[],
): ReadonlyMap<string, string> {
  const parents = new Map(commits.map((one) => [one.id, one.parents]));
  const found = new Map<string, string>();
  /** What earlier prompts have done, or began with. */
  const seen = new Set<string>();
  for (const { id, start, commit } of prompts) {
    if (start !== null) for (const one of reach(start, parents, seen)) seen.add(one);
    for (const one of reach(commit, parents, seen)) {
      found.set(one, id);
      seen.add(one);
    }
  }
  return found;
}

/** A commit and all before it, up to those that are `stop` already. */
function reach(
  tip: string,
  parents: ReadonlyMap<string, readonly string[]>,
  stop: ReadonlySet<string>,
): ReadonlySet<string> {
  const reached = new Set<string>();
  const left = [tip];
  for (let one = left.pop(); one !== undefined; one = left.pop()) {
    const next = parents.get(one);
    if (next === undefined || stop.has(one) || reached.has(one)) continue;
    reached.add(one);
    left.push(...next);
  }
  return reached;
}
