import { EXIT, PRELUDE, SCRATCH, SIZE } from "./script-parts.ts";

/** What git does for submodules; as in scripts.ts, the texts are constants. */

/** Of a .gitmodules, bytes. */
const MAX_GITMODULES = 256 * 1024;

/** Commits of a branch, in which that of a submodule is looked for. */
const BRANCH_DEPTH = 50;

/** $1 commit  $2, $3 see SIZE. Prints its size and submodules, an empty line, and what its .gitmodules says of these. */
const LISTED = `${SIZE}
listed() {
  size "$1" "$2" "$3" show || return
  echo
  # A link, as which it would lead elsewhere, is none.
  case $(git ls-tree "$1" .gitmodules) in 100*) ;; *) return 0 ;; esac
  if [ "$(git cat-file -s "$1:.gitmodules")" -gt ${MAX_GITMODULES} ]; then return 0; fi
  # By default git would read the files that a blob includes.
  git config --no-includes --blob="$1:.gitmodules" -z --get-regexp '^submodule\\..*\\.(path|url|branch)$' || :
}
`;

/** $1 commit  $2, $3 see SIZE. Prints what LISTED does. */
export const LIST_MODULES = `${PRELUDE}${LISTED}
listed "$1" "$2" "$3"
`;

/**
 * $1 URL  $2 the submodule's commit  $3 the session's refs  $4 the branch that it should be on; empty: the default one
 * $5, $6 see SIZE. Prints what LISTED does, of the commit. EXIT.missing: the source repository does not have it.
 * The commit alone is fetched, without those before it; from a host that gives only what has a name, the branch's newest ones.
 */
export const FETCH_MODULE = `${PRELUDE}${LISTED}
if ! [ -f "$STORE/HEAD" ]; then git init --quiet --bare --template= || exit; fi
own=$3/modules/$2
if [ "$(commit "$own")" != "$2" ]; then
  if commit "$2" >/dev/null; then
    # For another session. This one gets it if it could fetch it.
    list "$1" HEAD >/dev/null || exit ${EXIT.unreadable}
  else
    history=--depth=1
    said=$(fetch "$1" "$2" 2>&1) || {
      printf '%s\\n' "$said" >&2
      case $said in
        # Some hosts give only what has a name, and say the same of all else.
        *"not our ref"* | *"unadvertised object"*) ;;
        *) exit ${EXIT.unreadable} ;;
      esac
      history=--depth=${BRANCH_DEPTH}
      fetch "$1" "\${4:-HEAD}" || exit ${EXIT.unreadable}
    }
  fi
  [ "$(commit "$2")" = "$2" ] || exit ${EXIT.missing}
  git update-ref "$own" "$2" || exit
fi
listed "$2" "$5" "$6"
`;

/** $1 commit  $2 configuration. Makes a repository of its own of a submodule, in its folder, which is empty. */
export const CHECK_OUT_MODULE = `${PRELUDE}
own=$CHECKOUT/.git
mkdir -p "$own/objects/pack" "$own/refs/heads" "$own/info" "$own/hooks" || exit
printf '%s' "$2" >"$own/config" && printf '%s\\n' "$1" >"$own/HEAD" || exit
if [ -f "$STORE/shallow" ]; then cp "$STORE/shallow" "$own/shallow" || exit; fi
printf '%s\\n' "$1" | git pack-objects --revs --stdout --quiet --window=0 --delta-base-offset |
  git --git-dir="$own" index-pack --stdin >/dev/null || exit
cd "$CHECKOUT" || exit
export GIT_DIR="$own" GIT_WORK_TREE="$CHECKOUT"
git checkout --quiet --force --detach "$1" --
`;

/** Empties the folder of a submodule whose checkout failed. */
export const EMPTY_MODULE = `${PRELUDE}
find "$CHECKOUT" -mindepth 1 -delete
`;

/**
 * $1 the work's commit  $2 the commit that it started from  $3 name, $4 e-mail of who commits  $5 message. stdin: entries of an index.
 * Prints a commit on top of the work that has these; if nothing of the work is left then, the commit that it started from. The
 * same commit each time, so that a delivery can be repeated.
 */
export const PUT_BACK = `${PRELUDE}${SCRATCH}
make_scratch || exit
export GIT_INDEX_FILE="$scratch/index"
git read-tree "$1" && git update-index --index-info && tree=$(git write-tree) || exit
if [ "$tree" = "$(git rev-parse "$2^{tree}")" ]; then echo "$2"; exit 0; fi
date=$(git show --no-patch --no-show-signature --format=@%ct "$1") || exit
export GIT_AUTHOR_NAME="$3" GIT_AUTHOR_EMAIL="$4" GIT_AUTHOR_DATE="$date +0000"
export GIT_COMMITTER_NAME="$3" GIT_COMMITTER_EMAIL="$4" GIT_COMMITTER_DATE="$date +0000"
printf '%s' "$5" | git commit-tree "$tree" -p "$1" -F -
`;
