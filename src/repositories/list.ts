import { existsSync } from "node:fs";
import { join } from "node:path";
import { EXAMPLE_BRANCH } from "../sandboxes/example-repository.ts";
import { examplePath } from "../sandboxes/git/local-path.ts";
import { checkBranchName, parseRepo, type RepoAddress, type RepoRules } from "../sandboxes/git/repo-url.ts";
import type { RecentRepository } from "./store.ts";
import type { Suggestions } from "./suggestions.ts";

export const SOURCES = ["recent", "example", "forge"] as const;

export interface ListedRepo {
  repo: string;
  /** Null: it has no branch yet that is known. */
  targetBranch: string | null;
  title: string;
  source: (typeof SOURCES)[number];
  lastUsedAt: Date | null;
}

/**
 * What sessions may name, each repository once: those that were used, the last used ones first, then the example, then what
 * the hosts suggest.
 * @param options.q a part of the name or title, in any case.
 */
export function listRepositories(options: {
  rules: RepoRules;
  recent: readonly RecentRepository[];
  suggested: Suggestions["repositories"];
  q: string;
  limit: number;
}): ListedRepo[] {
  const { rules, recent, suggested, limit } = options;
  const q = options.q.toLowerCase();
  const example = exampleOf(rules);
  const found = new Map<string, ListedRepo>();
  const add = (one: Omit<ListedRepo, "title">) => {
    const address = addressOf(one.repo, rules);
    if (!address || found.has(keyOf(address))) return;
    const isExample = example !== undefined && keyOf(address) === keyOf(example);
    const title = isExample ? "Example repository" : titleOf(address);
    if (!`${one.repo}\n${title}`.toLowerCase().includes(q)) return;
    found.set(keyOf(address), { ...one, title, ...(isExample && { source: "example" }) });
  };
  for (const one of recent) add({ ...one, source: "recent" });
  if (example)
    add({ repo: example.display, targetBranch: EXAMPLE_BRANCH, source: "example", lastUsedAt: null });
  for (const { host, path, defaultBranch } of suggested)
    add({
      repo: `${host.url}/${path}`,
      targetBranch: isBranch(defaultBranch) ? defaultBranch : null,
      source: "forge",
      lastUsedAt: null,
    });
  return [...found.values()].slice(0, limit);
}

/** The one in DATA_DIR, where paths are accepted and it was made. */
function exampleOf(rules: RepoRules): RepoAddress | undefined {
  const path = rules.local && examplePath(rules.local.dataDir);
  return path && existsSync(join(path, ".git")) ? addressOf(path, rules) : undefined;
}

/** Undefined: sessions may not name it, as one from before the rules changed. */
function addressOf(repo: string, rules: RepoRules): RepoAddress | undefined {
  try {
    return parseRepo(repo, rules);
  } catch {
    return undefined;
  }
}

/** The same for all ways to write a repository. */
const keyOf = ({ url }: RepoAddress) => url.replace(/(\.git)?\/*$/, "");

/** owner/name, or what is nearest to it. */
function titleOf({ url, display, kind, hosted }: RepoAddress): string {
  if (hosted) return hosted.path;
  if (kind === "local") return display.replace(/\/+$/, "").split("/").at(-1) ?? display;
  return url.replace(/^https?:\/\//, "").replace(/(\.git)?\/*$/, "");
}

export function isBranch(name: string | null): name is string {
  try {
    if (name !== null) checkBranchName(name);
    return name !== null;
  } catch {
    return false;
  }
}
