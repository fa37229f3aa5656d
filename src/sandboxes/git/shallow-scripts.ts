import { EXIT, PRELUDE, SCRATCH } from "./script-parts.ts";

/**
 * Where histories are too large to be fetched whole: git keeps the commits whose parents it does not have in one file,
 * `shallow`, for all sessions of a store. As in scripts.ts, the texts are constants.
 */

/**
 * Fetches with $history, an option of git fetch that says where history ends, for the whole store. What the store has with all
 * that is before it stays whole: other sessions' work builds on it. Nobody else may be at work in the store.
 */
export const BRING = `${SCRATCH}
bring() {
  if [ -z "$history" ]; then fetch "$@"; return; fi
  make_scratch || return
  git rev-list --all >"$scratch/had" || return
  cat "$STORE/shallow" >"$scratch/before" 2>/dev/null
  fetch "$@"
  code=$?
  if [ -f "$STORE/shallow" ]; then
    grep -F -x -f "$STORE/shallow" "$scratch/had" | grep -v -F -x -f "$scratch/before" >"$scratch/whole"
    grep -v -F -x -f "$scratch/whole" "$STORE/shallow" >"$scratch/after"
    if ! [ -s "$scratch/after" ]; then rm -f "$STORE/shallow"
    elif [ -s "$scratch/whole" ]; then cp "$scratch/after" "$STORE/shallow.new" && mv "$STORE/shallow.new" "$STORE/shallow" || return
    fi
  fi
  return "$code"
}
# Whether a commit is here with all that is before it, or with the place where that ends. What no ref leads to may be half pruned.
has() { commit "$1" >/dev/null && git rev-list --quiet "$1" --not --all 2>/dev/null; }
`;

/** Prints those commits at which the history of the given ones ends although they have parents, as the file `shallow` has them. */
export const BOUNDARY = `
boundary() {
  if [ -f "$STORE/shallow" ]; then git rev-list "$@" | grep -F -x -f "$STORE/shallow"; fi
}
`;

/** $1, $2 commits. Prints that. */
export const PRINT_BOUNDARY = `${PRELUDE}${BOUNDARY}
boundary "$1" "$2"
exit 0
`;

/** $1 URL, then commits. Fetches those that the store lacks, without what is before them; nothing, if it has whole histories. */
export const BRING_COMMITS = `${PRELUDE}${BRING}
[ -f "$STORE/shallow" ] || exit 0
history=--depth=1
url=$1
shift
for one do
  has "$one" || bring "$url" "$one" || exit
done
`;

/**
 * $1 URL  $2 the session's refs  $3 the commit that its work began with; empty: it is not known. Fetches what is since then of the
 * target branch and of the session's, which both begin there. EXIT.apart: they still have nothing in common.
 */
export const REACH = `${PRELUDE}${BRING}
refs=$2
history=--depth=1
[ -n "$3" ] || exit ${EXIT.apart}
has "$3" || bring "$1" "$3" || exit
read_refs
history=--shallow-since=$(git show --no-patch --no-show-signature --format=%ct "$3") || exit
bring "$1" "$base" $pushed || exit
if apart "$base" "$kept"; then exit ${EXIT.apart}; fi
exit 0
`;

/**
 * The same arguments, where that is too much. Keeps the commit as the ref `began`; if nobody has it, the work as it is. Then fetches
 * what is since then of the session's branch alone, so that it fails where only that is not to be had.
 */
export const KEEP_BEGIN = `${PRELUDE}${BRING}
refs=$2
history=--depth=1
if [ -z "$3" ] || ! { has "$3" || bring "$1" "$3"; }; then
  git update-ref "$refs/began" "$refs/head"
  exit
fi
git update-ref "$refs/began" "$3" || exit
read_refs
history=--shallow-since=$(git show --no-patch --no-show-signature --format=%ct "$3") || exit
if [ -n "$pushed" ]; then bring "$1" "$pushed"; fi
`;
