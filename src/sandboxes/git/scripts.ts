import { FIRST_COMMIT, HEAD_APART, LOOK_AT_FIRST } from "./first-commit.ts";
import { STRICT } from "./git-settings.ts";
import { EXIT, JOIN_PACKS, PRELUDE, SIZE } from "./script-parts.ts";
import { BOUNDARY } from "./shallow-scripts.ts";
import { WALK } from "./walk-script.ts";

/**
 * What git does, as one script an operation, because each closed program costs milliseconds. The texts are constants; their
 * arguments vary. Folders are in the environment: STORE, our bare repository; CHECKOUT; SOURCE, if the source repository is on
 * this machine, instead of the URL.
 */

/** In a bundle, whose header is read up to a limit. */
const MAX_ASIDE = 100;
/** Commits of a work that are listed: the newest one stands for all that it builds on. */
const MAX_LISTED = 250;
/** Submodules that a work has moved. */
const MAX_MOVED = 200;

/**
 * $1 where the pack begins in stdin, a bundle  $2 the session's refs  then commits to put aside. What else is in it is in the
 * store then, without a ref.
 */
export const IMPORT_WORK = `${PRELUDE}
tail -c "+$1" | git index-pack --stdin --fix-thin ${STRICT} >/dev/null || exit ${EXIT.badWork}
refs=$2
shift 2
for one do git update-ref "$refs/aside/$one" "$one" || exit; done
`;

/**
 * $1 the session's refs. Prints a bundle of the session's work, without what the target branch has: also what was put aside
 * last, which a fork may begin with. Where histories are cut, it is without what is before the work instead: another machine may
 * not have what the target branch has had since, but can fetch the commits that this begins with.
 */
export const BUNDLE_WORK = `${PRELUDE}${BOUNDARY}
refs=$1
# A machine that never saw the source empty does not have the first commit.
target=$(commit "$refs/base") || exit
if [ "$target" = ${FIRST_COMMIT} ]; then target=; fi
set -- "$refs/head" $(git for-each-ref --count=${MAX_ASIDE} --sort=-committerdate --format="%(refname)" "$refs/aside")
if [ -f "$STORE/shallow" ]; then
  for one do git merge-base --all "$refs/base" "$one" || boundary "$one"; done | sort -u | sed 's/^/^/'
elif [ -n "$target" ]; then echo "^$target"
fi | git bundle create --quiet - "$@" --stdin
`;

/** $1 commit  $2, $3 see SIZE  then refs. Prints a bundle. */
export const BUNDLE = `${PRELUDE}${SIZE}
size "$1" "$2" "$3" || exit
shift 3
git bundle create --quiet - "$@"
`;

/**
 * $1 the session's refs  $2 the work's commit  $3 where the pack begins in stdin, a bundle; empty: there is none
 * $4, $5 see SIZE  $6 the commit that the checkout started from. Prints the commit, how many commits the target branch lacks,
 * a short id, how many of them the work has added since the start, and "lfs" if files are given to Git LFS; then the newest of
 * these commits, and the submodules that the work has moved (as raw lines of diff-tree), each on a line.
 * The objects stay in their pack: as files of their own, a few KB of deltas can become any number of GB.
 */
export const IMPORT = `${PRELUDE}${JOIN_PACKS}${SIZE}${WALK}
refs=$1
if [ -n "$3" ]; then
  tail -c "+$3" | git index-pack --stdin --fix-thin ${STRICT} >/dev/null || exit ${EXIT.badWork}
fi
tip=$(commit "$2") || exit ${EXIT.badWork}
# Before it is kept: the session could never check it out again.
walk "$tip"
fits "$tip" "$4" "$5" || exit
read_refs
set_head "$tip" || exit
since=$base
if apart "$base" "$tip" && began=$(commit "$refs/began"); then since=$began; fi
count=$(git rev-list --count "$since..$tip") || exit
short=$(git rev-parse --short "$tip") || exit
added=$(git rev-list --count "$tip" --not "$6" "$base") || exit
echo "$tip $count $short $added $lfs"
git rev-list --max-count=${MAX_LISTED} "$tip" --not "$6" "$base" || exit
git diff-tree -r --raw --no-renames --ignore-submodules=none "$6" "$tip" | grep '^:[0-9]* 160000 ' | head -n ${MAX_MOVED}
join_packs -l
exit 0
`;

/**
 * $1 URL  $2 the session's refs  $3 branch  $4 the work's commit  $5 the commit that was pushed last, or empty  $6 target branch.
 * Prints what ls-remote --symref does about HEAD and the branches, and how the branch is related to the work: older (it is
 * contained in the work), newer (it contains the work), grown (it contains what was pushed last), merged (the target branch
 * contains it); if there is no such branch, what LOOK_AT_FIRST says.
 */
export const LOOK = `${PRELUDE}${LOOK_AT_FIRST}
refs=$2
listing=$(list "$1" HEAD "refs/heads/$3" "refs/heads/$6") || exit ${EXIT.unreadable}
printf '%s\\n' "$listing"
# Only a source on this machine tells its default branch while that has no commit.
if [ -n "\${SOURCE:-}" ] && head=$(git --git-dir="$SOURCE" symbolic-ref --quiet HEAD); then
  printf 'ref: %s\\tHEAD\\n' "$head"
fi
remote= target=
while IFS='	' read -r id name; do
  case $name in
    "refs/heads/$3") remote=$id ;;
    "refs/heads/$6") target=$id ;;
  esac
done <<END
$listing
END
if [ -z "$remote" ]; then
  look_at_first "$1" "$refs" "$4" "$6" "$target" || exit ${EXIT.unreadable}
  exit 0
fi
if ! git cat-file -e "$remote^{commit}" 2>/dev/null; then
  fetch "$1" "+refs/heads/$3:$refs/origin" || exit ${EXIT.unreadable}
fi
if older "$remote" "$4"; then echo "relation	older"; fi
if older "$4" "$remote"; then echo "relation	newer"; fi
if [ -n "$5" ] && older "$5" "$remote" 2>/dev/null; then echo "relation	grown"; fi
if older "$remote" "$refs/base"; then echo "relation	merged"; fi
exit 0
`;

const PUSHED = `
# A git that is told where our history ends notes it in its own folder, which is not writable here, and needs not know: it has
# what is before that. As grafts, the same lines mean the same to us alone.
if [ -f "$STORE/shallow" ]; then export GIT_SHALLOW_FILE="" GIT_GRAFT_FILE="$STORE/shallow"; fi
git -c advice.graftFileDeprecated=false push --quiet --porcelain --atomic --no-verify --no-follow-tags --recurse-submodules=no \\
  --force-with-lease="refs/heads/$3:$4" \${SOURCE:+"--receive-pack=$RECEIVE_PACK"} -- "\${SOURCE:-$1}" "$2:refs/heads/$3"
`;

/** $1 URL  $2 commit  $3 branch  $4 the branch's commit there; empty: there must be no such branch. */
export const PUSH = `${PRELUDE}${PUSHED}`;

/** The same of a first commit, for the branch that the source's HEAD may be. */
export const PUSH_FIRST = `${PRELUDE}${HEAD_APART}${PUSHED}`;

/**
 * Removes what a receiving git that failed or was killed has left: as much as $FILE_BLOCKS allows, at each try. Only while no
 * other is at work in the store.
 */
export const TIDY = `${PRELUDE}
for objects in "$STORE/objects" "$STORE/base/objects"; do
  rm -rf "$objects"/pack/tmp_* "$objects"/pack/.tmp-* "$objects"/??/tmp_obj_* "$objects"/tmp_objdir-*
done
rm -f "$STORE"/walked/tmp_*
`;

/** Prints all refs of sessions. */
export const SESSION_REFS = `${PRELUDE}
git for-each-ref --format="%(refname)" refs/sessions
`;

/**
 * $1 the age at which unreachable objects are pruned. stdin: refs to delete. Prints how many were deleted. Younger objects
 * of packs become loose ones: they may belong to a fetch in progress, also of another process.
 */
export const DROP_REFS = `${PRELUDE}
deleted=0
while IFS= read -r ref; do
  if git update-ref -d "$ref"; then deleted=$((deleted + 1)); fi
done
git repack -q -A -d -l --max-pack-size="$((FILE_BLOCKS / 2))k" --unpack-unreachable="$1" >&2 || :
git prune --expire="$1" || :
echo "$deleted"
`;

/** Removes what is shared of a repository that no session has any more. Only while no other is at work in the store. */
export const DROP_SHARED = `${PRELUDE}
used=$(git for-each-ref --count=1 refs/sessions) || exit
if [ -z "$used" ]; then rm -rf "$STORE/base"; fi
`;
