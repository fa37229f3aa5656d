import { FIRST_COMMIT, MAKE_FIRST } from "./first-commit.ts";
import { EXIT, JOIN_PACKS, PRELUDE } from "./script-parts.ts";
import { BOUNDARY, BRING } from "./shallow-scripts.ts";
import { SHARED } from "./shared-objects.ts";
import { WALK } from "./walk-script.ts";

/** Reads what the session has here and, at the same time, what its branches are in the source repository. */
const LOOK = `
# $1 URL  $2 target branch  $3 the session's branch, or empty. Sets base, kept and pushed, as read_refs does, and target and own.
# Fails if the source could not be read. A source on this machine is read by one program instead of three.
look() {
  base= kept= pushed= target= own= here= there=
  while read -r id name; do
    case $name in
      "$refs/base") base=$id ;;
      "$refs/head") kept=$id ;;
      "$refs/origin") pushed=$id ;;
      "refs/heads/$2") target=$id ;;
      here) here=$id ;;
      there) there=$id ;;
      *) if [ -n "$3" ] && [ "$name" = "refs/heads/$3" ]; then own=$id; fi ;;
    esac
  done <<END
$(
  { git for-each-ref --format="%(objectname) %(refname)" "$refs/base" "$refs/head" "$refs/origin"; echo "$? here"; } &
  if [ -n "\${SOURCE:-}" ]; then
    git --git-dir="$SOURCE" for-each-ref --format="%(objectname) %(refname)" "refs/heads/$2" \${3:+"refs/heads/$3"}
  else
    git ls-remote -- "$1" "refs/heads/$2" \${3:+"refs/heads/$3"}
  fi
  echo "$? there"
  wait
)
END
  if [ "$3" = "$2" ]; then own=$target; fi
  # Without it, the session would seem to have nothing.
  if [ "$here" != 0 ]; then exit 1; fi
  [ "$there" = 0 ]
}
`;

/**
 * $1 URL  $2 the session's refs  $3 target branch  $4 the session's branch; empty: the session has not made it.
 * $5 what the session could not push; empty: nothing. On EXIT.workMissing: this store does not have it, but has the target branch.
 * $6 the commit that a fork begins with; empty: it is none. On EXIT.startMissing: nobody has it any more.
 * $7 an option of git fetch that says where history ends; empty: whole histories. See shallow-scripts.ts.
 * $8 not empty: the source repository has no branch.
 * Prints the commit that the next checkout starts from (what the session pushed, or what it could not push, or, if it has
 * no work of its own yet, where a fork begins or today's target branch), and that of the target branch; "lfs", if files are
 * given to Git LFS; "cut", if the history ends before its beginning, and "apart", if the two have therefore nothing in common,
 * unless that is known; "shared", if what the target branch has is in shared-objects.ts. On EXIT.fetchFailed: the branches.
 */
export const FETCH = `${PRELUDE}${BRING}${BOUNDARY}${MAKE_FIRST}${WALK}${JOIN_PACKS}${SHARED}${LOOK}
refs=$2
history=$7
url=$1
make_repository "$STORE" "" || exit
# What was left when this machine or the service stopped. Younger files may be at work: there is a time limit.
tidy() {
  find "$STORE/objects" "$STORE/base/objects" \\( -name "tmp_*" -o -name ".tmp-*" \\) -mmin +15 -exec rm -rf {} + 2>/dev/null &
  find "$STORE/walked" -type f -mmin +1440 -exec rm -f {} + 2>/dev/null &
}
failed() {
  list "$url" "refs/heads/*" || exit ${EXIT.unreadable}
  exit ${EXIT.fetchFailed}
}
# All that may be new, into the store itself.
bring_all() {
  tidy
  bring "$1" "+refs/heads/$3:$refs/base" \${4:+"+refs/heads/$4:$refs/origin"} || failed
  read_refs
}
if [ -n "$8" ]; then
  make_first && git update-ref "$refs/base" ${FIRST_COMMIT} || exit
  read_refs
elif [ -n "$history" ] || [ -f "$STORE/shallow" ]; then bring_all "$@"
elif ! look "$1" "$3" "$4" && [ -z "\${SOURCE:-}" ]; then exit ${EXIT.unreadable}
# Then fetching says what is wrong.
elif [ -z "$target" ] || { [ -n "$4" ] && [ -z "$own" ]; }; then bring_all "$@"
else
  # It looks again: a branch may have moved on meanwhile.
  if ! is_shared "$target"; then
    tidy
    share "$1" "$3" "\${refs##*/}" || failed
  fi
  if [ "$base" != "$target" ]; then put "$refs/base" "$target"; fi
  base=$target
  if [ -n "$4" ] && [ "$own" != "$pushed" ]; then
    if [ "$own" = "$kept" ]; then put "$refs/origin" "$own"
    else
      # First: what the store has need not be sent.
      write_refs || exit
      bring "$1" "+refs/heads/$4:$refs/origin" || failed
      own=$(commit "$refs/origin") || exit
    fi
    pushed=$own
  fi
  # Whatever is missing below, the target branch is here.
  if [ -n "$5$6" ]; then write_refs || exit; fi
fi
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
walk "$start"
read_walk "$start"
cut= apart= shared=
if [ -n "$(boundary "$start" "$base")" ]; then
  cut=cut
  if apart "$start" "$base" && ! commit "$refs/began" >/dev/null; then apart=apart; fi
elif is_shared "$base"; then shared=shared
fi
echo "$start $base $lfs $cut $apart $shared"
`;
