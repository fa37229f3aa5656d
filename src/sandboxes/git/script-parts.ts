import { otherSide } from "./git-settings.ts";

/** Exit codes that mean something. */
export const EXIT = {
  unreadable: 3,
  fetchFailed: 4,
  tooLarge: 5,
  badWork: 6,
  workMissing: 7,
  startMissing: 8,
  missing: 9,
  tooOld: 10,
  conflicts: 11,
  hasMerges: 12,
  tooMany: 13,
  apart: 14,
} as const;

/** $FILE_BLOCKS: the largest file, in units of 512 bytes. $MEMORY_KB: address space of each process. */
export const PRELUDE = `
set -u
umask 022
ulimit -c 0
ulimit -f "$FILE_BLOCKS" 2>/dev/null || :
ulimit -v "$MEMORY_KB" 2>/dev/null || :
# A file that is too large is an error with a message, not a signal.
trap '' XFSZ
export GIT_DIR="$STORE"
# See shared-objects.ts. A file in the store would need a relative path, which git-lfs does not understand.
borrow_shared() {
  if ! [ -d "$STORE/base/objects" ]; then return 0; fi
  case $STORE in
    *:*) export GIT_ALTERNATE_OBJECT_DIRECTORIES="\\"$STORE/base/objects\\"" ;;
    *) export GIT_ALTERNATE_OBJECT_DIRECTORIES="$STORE/base/objects" ;;
  esac
}
borrow_shared
commit() { git rev-parse --quiet --verify --end-of-options "$1^{commit}"; }
older() { [ "$1" = "$2" ] || git merge-base --is-ancestor "$1" "$2"; }
# Whether what two commits have in common may be further back than what was fetched.
apart() { [ -f "$STORE/shallow" ] && ! git merge-base "$1" "$2" >/dev/null; }
# Reads the session's refs into base, kept (its head) and pushed (its branch in the source repository).
read_refs() {
  base= kept= pushed=
  while read -r id name; do
    case $name in
      "$refs/base") base=$id ;;
      "$refs/head") kept=$id ;;
      "$refs/origin") pushed=$id ;;
    esac
  done <<END
$(git for-each-ref --format="%(objectname) %(refname)" "$refs")
END
}
# Writes the refs that \`put\` has collected, $1 at $2, all at once.
updates=
put() {
  updates="\${updates}update $1 $2
"
}
write_refs() {
  if [ -z "$updates" ]; then return 0; fi
  printf '%s' "$updates" | git update-ref --stdin || return
  updates=
}
# Moves the session's head from $kept. If the new commit does not contain the old one, the old one stays reachable.
set_head() {
  if [ "$kept" != "$1" ]; then
    if [ -n "$kept" ] && ! older "$kept" "$1"; then put "$refs/aside/$kept" "$kept"; fi
    put "$refs/head" "$1"
  fi
  write_refs
}
# An option of git fetch; empty: whole histories.
history=
fetch() {
  url=\${SOURCE:-$1}
  shift
  git fetch \${history:+"$history"} --quiet --no-tags --no-write-fetch-head --no-auto-maintenance --no-recurse-submodules \\
    \${SOURCE:+"--upload-pack=$UPLOAD_PACK"} -- "$url" "$@"
}
list() {
  url=\${SOURCE:-$1}
  shift
  git ls-remote --symref \${SOURCE:+"--upload-pack=$UPLOAD_PACK"} -- "$url" "$@"
}
`;

/** Packs, before they are joined. */
const MAX_PACKS = 50;

export const JOIN_PACKS = `
# Each work and each fetch brings a pack, and git looks through all of them. Old versions of git cannot join them, and are slower
# then. $1 -l: only those that are not borrowed. Fails if there are few.
join_packs() {
  only=\${1:-}
  set -- "$GIT_DIR"/objects/pack/pack-*.pack
  [ "$#" -gt ${MAX_PACKS} ] || return
  git repack -q -d $only --geometric=2 >/dev/null 2>&1
  return 0
}
`;

/** make_scratch sets `scratch`, a folder of this script alone, which is gone at its end, also when it is stopped. */
export const SCRATCH = `
make_scratch() {
  if [ -n "\${scratch:-}" ]; then return; fi
  scratch=$(mktemp -d "$HOME/scratch.XXXXXX") || return
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 143' TERM
}
`;

/** The other sides' commands, for a source on this machine. */
export const OTHER_SIDES = {
  UPLOAD_PACK: otherSide("upload-pack"),
  RECEIVE_PACK: otherSide("receive-pack"),
} as const;

/**
 * $1 commit  $2 the most files and folders  $3 the most bytes  $4 not empty: prints the first 1,000 submodules, as ls-tree does,
 * then how many files and folders, and how many bytes. Stops counting at a limit: a few KB can describe millions of files, and
 * as many folders without any file.
 */
export const SIZE = `
size() {
  { git ls-tree -r -t -l "$1" || echo failed; } | LC_ALL=C awk -v files="$2" -v bytes="$3" -v show="\${4:-}" '
    $1 == "failed" { failed = 1; exit }
    { count += 1; if ($4 ~ /^[0-9]+$/) sum += $4; if (count > files + 0 || sum > bytes + 0) { over = 1; exit } }
    show && $1 == "160000" && (links += 1) <= 1000 { print }
    END { if (over) exit ${EXIT.tooLarge}; if (failed) exit 1; if (show) printf "size %.0f %.0f\\n", count, sum }'
}
`;
