import { messageOf } from "../../shared/errors.ts";
import { RepositoryError } from "./git-errors.ts";
import { quotedName } from "./notices.ts";
import type { FetchRequest } from "./request.ts";
import { type StoreGit, succeeded } from "./store-git.ts";
import { plainPath } from "./submodule-listing.ts";
import { PUT_BACK } from "./submodule-scripts.ts";
import { CommitMissing, listSubmodules, type SubmoduleDeps, submoduleAt } from "./submodule-store.ts";

/** Of one work. */
const MAX_CHECKED = 50;
/** For all of them: the end of the run waits for it. */
const CHECK_MS = 2 * 60_000;
const NO_ID = /^0+$/;

/** A submodule that a work has moved to another commit, or made. */
export interface MovedGitlink {
  path: string;
  /** The path as git prints and reads it. */
  printed: string;
  commit: string;
  /** What was there; an id of zeros: nothing. */
  before: { mode: string; id: string };
}

/** The moved submodules in raw lines of git diff-tree. */
export const movedIn = (lines: readonly string[]): MovedGitlink[] =>
  lines.flatMap((line) => {
    const [, mode = "", id = "", commit, printed = ""] =
      /^:(\d{6}) 160000 ([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [A-Z]\t(.+)$/.exec(line) ?? [];
    const path = plainPath(printed);
    return commit === undefined || path === undefined
      ? []
      : [{ path, printed, commit, before: { mode, id } }];
  });

/**
 * Leaves out of a work what would break its branch for everybody: a submodule at a commit that its source does not have,
 * because it was made in the sandbox, and a repository in a folder, which is a submodule without a source.
 * @param work.commit its tip, in the store. @param message of a commit that puts back what was there before.
 * @returns the tip to go on with, and sentences for the user.
 */
export async function withoutLostGitlinks(
  deps: SubmoduleDeps,
  options: {
    storeGit: StoreGit;
    request: FetchRequest;
    work: { commit: string; start: string; moved: readonly MovedGitlink[] };
    message: string;
  },
  signal: AbortSignal,
): Promise<{ commit: string; notices: string[] }> {
  const { storeGit, request, work, message } = options;
  const { inStore, address } = storeGit;
  const { gitAuthor: author, repoLimits } = deps.config;
  const room = { files: repoLimits.maxFiles, bytes: repoLimits.maxBytes };
  const { submodules } = await listSubmodules(storeGit, { commit: work.commit, limits: repoLimits }, signal);
  const urls = new Map(submodules.map(({ path, url }) => [path, url]));
  const late = AbortSignal.timeout(CHECK_MS);
  const inTime = AbortSignal.any([signal, late]);
  const notices: string[] = [];
  const putBack: MovedGitlink[] = [];

  for (const [index, one] of work.moved.entries()) {
    const name = quotedName(one.path);
    const short = one.commit.slice(0, 12);
    const url = urls.get(one.path);
    if (url === undefined) {
      putBack.push(one);
      notices.push(
        `${name} is a git repository of its own, which .gitmodules does not name: the branch does not have it.`,
      );
      continue;
    }
    try {
      if (index >= MAX_CHECKED) throw new RepositoryError(`at most ${MAX_CHECKED} are`);
      const { store } = submoduleAt(deps, url, address);
      await store.fetch(request, { commit: one.commit, branch: undefined }, room, inTime);
    } catch (error) {
      signal.throwIfAborted();
      if (!late.aborted && !(error instanceof RepositoryError)) throw error;
      if (error instanceof CommitMissing) {
        putBack.push(one);
        notices.push(lost(name, short, one, error.message));
      } else
        notices.push(
          `The branch has the submodule ${name} at ${short}. Whether others can get this commit was not checked: ${messageOf(error).replace(/\.$/, "")}.`,
        );
    }
  }
  if (putBack.length === 0) return { commit: work.commit, notices };

  const entries = putBack.map(
    ({ printed, before: { mode, id } }) => `${NO_ID.test(id) ? 0 : mode} ${id}\t${printed}\n`,
  );
  const result = await inStore(
    PUT_BACK,
    [work.commit, work.start, author.name, author.email, message],
    signal,
    {
      stdin: { text: entries.join("") },
    },
  );
  return { commit: succeeded(result).trim(), notices };
}

const lost = (name: string, short: string, { before }: MovedGitlink, why: string) =>
  NO_ID.test(before.id)
    ? `The branch does not have the new submodule ${name}: ${why}.`
    : `The submodule ${name} stays where it was, because nobody else could get the commit ${short}: ${why}. Push it there first.`;
