import type { RepoAddress } from "./repo-url.ts";
import type { RepositoryRequest } from "./request.ts";
import { SCRATCH } from "./script-parts.ts";

/**
 * What a session's work begins with in an empty repository: a commit without files, the first of the target branch. It is the
 * same commit on every machine and at every try, so that two sessions, or two tries of one, begin with the same history.
 */

/** What git calls a tree without files. */
export const EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/** 1 January 2026. The service's own name: that of GIT_AUTHOR_NAME may differ between machines. */
const WHO = "prompt-backend <prompt-backend@localhost> 1767225600 +0000";

/** The commit that git makes of this text. */
export const FIRST_COMMIT = "76cd5eaf810d3e4ed9df96823947b23087bc9dea";
const TEXT = `tree ${EMPTY_TREE}
author ${WHO}
committer ${WHO}

Initial commit`;

/** What a checkout has to tell the user, if it starts from that commit. */
export function nothingYet(
  start: string,
  { display }: RepoAddress,
  { targetBranch }: RepositoryRequest,
): string[] {
  if (start !== FIRST_COMMIT) return [];
  return [`There is nothing in ${display} yet: ${targetBranch} begins with an empty commit.`];
}

/** Makes it in the store. */
export const MAKE_FIRST = `
make_first() {
  git hash-object -t tree -w /dev/null >/dev/null && git hash-object -t commit -w --stdin >/dev/null <<END
${TEXT}
END
}
`;

/**
 * A source on this machine, with a HEAD of its own. Where HEAD is the branch, git would lock it, too, in a folder that is not
 * writable here, and refuse the push if somebody works in that folder, whose files a commit without files cannot contradict.
 */
export const HEAD_APART = `${SCRATCH}
if [ -n "\${SOURCE:-}" ]; then
  # git's errors name it.
  cd "$HOME" && make_scratch || exit
  view=./\${scratch##*/}
  for part in config objects refs packed-refs; do
    if [ -e "$SOURCE/$part" ]; then ln -s "$SOURCE/$part" "$view/$part" || exit; fi
  done
  echo ${FIRST_COMMIT} >"$view/HEAD"
  SOURCE=$view
fi
`;

/**
 * Prints what a session's branch would be among the branches of a source that does not have it: `empty`, if that has no branch at
 * all; `first`, if the work begins with the first commit; `unrelated`, if the target branch there has nothing in common with such
 * work.
 */
export const LOOK_AT_FIRST = `
# $1 URL  $2 the session's refs  $3 the work's commit  $4 target branch  $5 its commit there; empty: there is none
look_at_first() {
  if [ -z "$5" ]; then
    branches=$(list "$1" "refs/heads/*") || return
    if [ -z "$branches" ]; then echo "relation	empty"; fi
  fi
  git cat-file -e ${FIRST_COMMIT} 2>/dev/null && older ${FIRST_COMMIT} "$3" || return 0
  echo "relation	first"
  if [ -z "$5" ]; then return 0; fi
  git cat-file -e "$5^{commit}" 2>/dev/null || fetch "$1" "+refs/heads/$4:$2/base" || return
  git merge-base "$3" "$5" >/dev/null || echo "relation	unrelated"
}
`;
