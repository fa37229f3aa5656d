import { EXIT, PRELUDE, SCRATCH } from "./script-parts.ts";

/**
 * How the service reads a session's work in a store, without a checkout and without writing there. As in scripts.ts, the
 * texts are constants.
 */

/** $1 the most bytes, then a program. Prints its output up to there; its failure is this script's. */
const CAPPED = `
capped() {
  most=$1
  shift
  exec 4>&1
  code=$({ { "$@"; echo $? >&3; } | head -c "$most" >&4; } 3>&1)
  # 141: it was printing when there was enough.
  case $code in 0 | 141) ;; *) exit "$code" ;; esac
}
`;

/** Paths are bytes, and arguments of programs are text: $1 has each byte as \0 and three octal digits. Sets `path`. */
const PATH = `
decode() {
  path=$(printf "%b." "$1")
  path=\${path%.}
}
`;

/** $1 the session's refs. Prints the target branch's commit as it was last fetched, and the work's; nothing: not yet. */
export const SESSION_COMMITS = `${PRELUDE}
refs=$1
[ -f "$STORE/HEAD" ] || exit 0
read_refs
if [ -n "$base" ] && [ -n "$kept" ]; then echo "$base $kept"; fi
`;

/** $1 the session's refs  $2 a commit. Prints one of these refs that contains it. */
export const CONTAINING = `${PRELUDE}
commit "$2" >/dev/null || exit 0
git for-each-ref --count=1 --contains="$2" --format="%(refname)" "$1"
`;

/** $1, $2 commits. Prints the first, if the second contains it. */
export const CONTAINED = `${PRELUDE}
if older "$1" "$2"; then echo "$1"; fi
`;

/**
 * $1 the target branch  $2 the work  $3 the session's refs. Prints the best commit from which both come, and what the work's commits
 * are counted from. Where that was not fetched, both are where the work began; the empty tree, if the two have nothing in common.
 */
export const PARTED = `${PRELUDE}
if base=$(git merge-base "$1" "$2"); then echo "$base $1"
elif began=$(commit "$3/began"); then echo "$began $began"
else echo "$(git hash-object -t tree /dev/null) $1"
fi
`;

/**
 * $1 a branch  $2 a commit that was merged into it  $3 where that commit's work began. Prints from where the two had parted before
 * the merge; $3, if the branch was only moved to it.
 */
export const MERGED_BASE = `${PRELUDE}
merge=$(git rev-list --first-parent --ancestry-path "$2..$1" | tail -n 1)
if [ -n "$merge" ] && before=$(commit "$merge^1") && ! older "$2" "$before"; then
  git merge-base "$before" "$2" || echo "$3"
else
  echo "$3"
fi
`;

const DIFF_TREE =
  "git --literal-pathspecs diff-tree -r -M --full-index --no-ext-diff --no-textconv --no-color --submodule=short --src-prefix=a/ --dst-prefix=b/";
const FORMATS = "-z --raw --numstat -p";

const diffScript = (formats: string) => `${PRELUDE}${CAPPED}${PATH}
from=$1 to=$2 context=$3 limit=$4
shift 4
count=$#
while [ "$count" -gt 0 ]; do
  decode "$1"
  shift
  set -- "$@" "$path"
  count=$((count - 1))
done
capped "$limit" ${DIFF_TREE} ${formats} --unified="$context" "$from" "$to" -- "$@"
`;

/**
 * $1, $2 commits or trees  $3 lines of context  $4 the most bytes  then paths; none: all. Prints raw lines, counts and the
 * patch, as -z separates them. Names in the patch are quoted where they have to be.
 */
export const DIFF = diffScript(FORMATS);

/**
 * $1 a commit  $2 lines of context  $3 the most bytes  $4 a word that nobody can guess  then commits. Prints from each of them to
 * $1 what DIFF does, and after it a line with the word and whether git failed: 0, if it did not.
 */
export const DIFFS_TO = `${PRELUDE}
to=$1 context=$2 limit=$3 word=$4
shift 4
for from do
  ${DIFF_TREE} ${FORMATS} --unified="$context" "$from" "$to" -- 2>/dev/null
  printf "\\n%s %s\\n" "$word" "$?"
done | head -c "$limit"
`;

/** The same, for `git apply`: the patch alone, with what is in binary files. */
export const PATCH = diffScript("-p --binary");

/**
 * $1, $2 commits. Prints the files that git cannot merge by itself, separated by NUL, after the merged tree. What it writes is
 * put aside. EXIT.tooOld: this git cannot tell; EXIT.apart: nor can any other, because too little was fetched.
 */
export const CONFLICTS = `${PRELUDE}${SCRATCH}
if apart "$1" "$2"; then exit ${EXIT.apart}; fi
make_scratch || exit
GIT_ALTERNATE_OBJECT_DIRECTORIES=$STORE/objects\${GIT_ALTERNATE_OBJECT_DIRECTORIES:+:$GIT_ALTERNATE_OBJECT_DIRECTORIES} GIT_OBJECT_DIRECTORY=$scratch \\
  git merge-tree --write-tree --name-only --no-messages --allow-unrelated-histories -z "$1" "$2"
code=$?
if [ "$code" -eq 129 ]; then exit ${EXIT.tooOld}; fi
if [ "$code" -eq 1 ]; then exit 0; fi
exit "$code"
`;

/** $1, $2 commits  $3 how many  $4 the most bytes. Prints those of the second that the first lacks, newest first. */
export const COMMITS = `${PRELUDE}${CAPPED}
capped "$4" git log --topo-order --max-count="$3" -z --encoding=UTF-8 --no-show-signature --no-color --no-notes --no-mailmap \\
  --format="tformat:%H%x00%P%x00%an%x00%ae%x00%aI%x00%s%x00%b" "$1..$2" --
`;

/**
 * $1 a commit  $2 a path  $3 the most bytes  $4, $5 the first and the last line; empty: all. Prints what is there, "type id
 * size", and its content: of a folder, its entries. EXIT.missing: nothing is there.
 */
export const SHOW = `${PRELUDE}${CAPPED}${PATH}
decode "$2"
id=$(git rev-parse --quiet --verify --end-of-options "$1:$path") || exit ${EXIT.missing}
type=$(git cat-file -t "$id" 2>/dev/null) || { echo "commit $id 0"; exit 0; }
echo "$type $id $(git cat-file -s "$id")"
case $type in
  tree) capped "$3" git ls-tree -z --long "$id" ;;
  *)
    if [ -n "$4" ]; then git cat-file blob "$id" | sed -n "$4,$5p;$5q" | head -c "$3"
    else capped "$3" git cat-file blob "$id"
    fi ;;
esac
`;
