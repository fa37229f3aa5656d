import { FIRST_COMMIT, HEAD_APART, LOOK_AT_FIRST, MAKE_FIRST } from "./first-commit.ts";
import { STRICT } from "./git-settings.ts";
import { LFS_COPY } from "./lfs-scripts.ts";
import { EXIT, PRELUDE, SIZE, USES_LFS } from "./script-parts.ts";
import { BOUNDARY, BRING } from "./shallow-scripts.ts";

/**
 * What git does, as one script an operation, because each closed program costs milliseconds. The texts are constants; their
 * arguments vary. Folders are in the environment: STORE, our bare repository; CHECKOUT; SOURCE, if the source repository is on
 * this machine, instead of the URL.
 */

/** In a store, before the smaller ones are joined. */
const MAX_PACKS = 50;
/** In a bundle, whose header is read up to a limit. */
const MAX_ASIDE = 100;
/** Commits of a work that are listed: the newest one stands for all that it builds on. */
const MAX_LISTED = 250;
/** Submodules that a work has moved. */
const MAX_MOVED = 200;

/**
 * $1 URL  $2 the session's refs  $3 target branch  $4 the session's branch; empty: the session has not made it.
 * $5 what the session could not push; empty: nothing. On EXIT.workMissing: this store does not have it, but has the target branch.
 * $6 the commit that a fork begins with; empty: it is none. On EXIT.startMissing: nobody has it any more.
 * $7 an option of git fetch that says where history ends; empty: whole histories. See shallow-scripts.ts.
 * $8 not empty: the source repository has no branch.
 * Prints the commit that the next checkout starts from (what the session pushed, or what it could not push, or, if it has
 * no work of its own yet, where a fork begins or today's target branch), and that of the target branch; "lfs", if files are
 * given to Git LFS; "cut", if the history ends before its beginning, and "apart", if the two have therefore nothing in common,
 * unless that is known. On EXIT.fetchFailed: the branches.
 */
export const FETCH = `${PRELUDE}${BRING}${BOUNDARY}${MAKE_FIRST}${USES_LFS}
refs=$2
history=$7
if ! [ -f "$STORE/HEAD" ]; then git init --quiet --bare --template= || exit; fi
# What was left when this machine or the service stopped. Younger files may be at work: there is a time limit.
find "$STORE/objects" \\( -name "tmp_*" -o -name ".tmp-*" \\) -mmin +15 -exec rm -rf {} + 2>/dev/null &
if [ -n "$8" ]; then
  make_first && git update-ref "$refs/base" ${FIRST_COMMIT} || exit
elif [ -n "$4" ]; then
  bring "$1" "+refs/heads/$3:$refs/base" "+refs/heads/$4:$refs/origin"
else
  bring "$1" "+refs/heads/$3:$refs/base"
fi || {
  list "$1" "refs/heads/*" || exit ${EXIT.unreadable}
  exit ${EXIT.fetchFailed}
}
read_refs
if [ -z "$base" ]; then exit 1; fi
# What is left of an earlier fetch does not count.
if [ -z "$4" ]; then pushed=; fi
# It is nobody's work.
if [ "$kept" = ${FIRST_COMMIT} ]; then kept=; fi
other=\${pushed:-$base}
newest=$kept
if [ -n "$5" ]; then
  # A fork may begin with what was pushed, although what came later was not.
  commit "$5" >/dev/null || { [ "$5" = "$6" ] && bring "$1" "$6"; } || { wait; exit ${EXIT.workMissing}; }
  # Another machine may have kept work since: what this one has in addition is put aside.
  if [ -z "$kept" ] || ! older "$5" "$kept"; then newest=$5; fi
fi
if [ -n "$6" ] && [ -z "$pushed" ] && { [ -z "$newest" ] || [ "$newest" = "$6" ]; }; then
  # A commit without a name can be fetched, too, as long as the other side has it.
  has "$6" || bring "$1" "$6" || { wait; exit ${EXIT.startMissing}; }
  start=$6
elif [ -z "$newest" ] || older "$newest" "$other"; then start=$other
elif [ -z "$pushed" ] || older "$pushed" "$newest"; then start=$newest
else start=$pushed
fi
set_head "$start" || exit
wait
uses_lfs "$start" && lfs=lfs || lfs=
cut= apart=
if [ -n "$(boundary "$start" "$base")" ]; then
  cut=cut
  if apart "$start" "$base" && ! commit "$refs/began" >/dev/null; then apart=apart; fi
fi
echo "$start $base $lfs $cut $apart"
`;

/**
 * $1 branch  $2 target branch  $3, $4 see SIZE  $5 configuration. stdin: what FETCH prints, the commit and that of the target
 * branch; it comes when they are fetched, and this waits for it. Then what LFS_COPY reads.
 * Makes a repository of its own, with copies of the objects: what an agent does to it cannot reach the store. Prints what SIZE does.
 */
export const CHECK_OUT = `${PRELUDE}${SIZE}${BOUNDARY}${LFS_COPY}
read -r start base || exit
# Beside the packing, which is bounded by itself.
size "$start" "$3" "$4" show &
counting=$!
own=$CHECKOUT/.git
mkdir -p "$own/objects/pack" "$own/refs/heads" "$own/info" "$own/hooks" || exit
printf '%s' "$5" >"$own/config" &&
  printf 'ref: refs/heads/%s\\n' "$1" >"$own/HEAD" &&
  printf '%s refs/heads/%s\\n%s refs/remotes/origin/%s\\n' "$start" "$1" "$base" "$2" >"$own/packed-refs" || exit
# First: what is fetched meanwhile only adds to what is packed.
boundary "$start" "$base" >"$own/shallow"
[ -s "$own/shallow" ] || rm "$own/shallow"
printf '%s\\n' "$start" "$base" | git pack-objects --revs --stdout --quiet --window=0 --delta-base-offset |
  git --git-dir="$own" index-pack --stdin >/dev/null
packed=$?
wait "$counting" || exit
[ "$packed" -eq 0 ] || exit "$packed"
copy_lfs || exit
cd "$CHECKOUT" || exit
export GIT_DIR="$own" GIT_WORK_TREE="$CHECKOUT"
# git-lfs uses the objects that are here, and finds no host for others, whatever the repository says.
git -c lfs.url=http://127.0.0.1:1 -c lfs.transfer.maxretries=1 -c lfs.fetchinclude= -c lfs.fetchexclude= \\
  checkout --quiet --force "$1" --
`;

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
export const IMPORT = `${PRELUDE}${SIZE}${USES_LFS}
refs=$1
if [ -n "$3" ]; then
  tail -c "+$3" | git index-pack --stdin --fix-thin ${STRICT} >/dev/null || exit ${EXIT.badWork}
fi
tip=$(commit "$2") || exit ${EXIT.badWork}
# Before it is kept: the session could never check it out again.
size "$tip" "$4" "$5" || exit
read_refs
set_head "$tip" || exit
since=$base
if apart "$base" "$tip" && began=$(commit "$refs/began"); then since=$began; fi
count=$(git rev-list --count "$since..$tip") || exit
short=$(git rev-parse --short "$tip") || exit
added=$(git rev-list --count "$tip" --not "$6" "$base") || exit
uses_lfs "$tip" && lfs=lfs || lfs=
echo "$tip $count $short $added $lfs"
git rev-list --max-count=${MAX_LISTED} "$tip" --not "$6" "$base" || exit
git diff-tree -r --raw --no-renames --ignore-submodules=none "$6" "$tip" | grep '^:[0-9]* 160000 ' | head -n ${MAX_MOVED}
# Each work brings a pack, and git looks through all of them. Old versions of git cannot do it, and are slower then.
set -- "$STORE"/objects/pack/pack-*.pack
if [ "$#" -gt ${MAX_PACKS} ]; then git repack -q -d --geometric=2 >/dev/null 2>&1; fi
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
rm -rf "$STORE"/objects/pack/tmp_* "$STORE"/objects/pack/.tmp-* "$STORE"/objects/??/tmp_obj_* "$STORE"/objects/tmp_objdir-*
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
git repack -q -A -d --max-pack-size="$((FILE_BLOCKS / 2))k" --unpack-unreachable="$1" >&2 || :
git prune --expire="$1" || :
echo "$deleted"
`;
