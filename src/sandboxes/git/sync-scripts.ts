import { EXIT, PRELUDE } from "./script-parts.ts";

/**
 * How a target branch is brought into a session's work, in the store and without a checkout. As in scripts.ts, the texts are
 * constants. Both print the new commit; on EXIT.conflicts, the files that git cannot merge by itself, as it quotes them.
 * EXIT.apart: what the two have in common is further back than what was fetched.
 */

/** $1, $2 commits. Sets `tree` to what merging the second into the first makes. */
const MERGED = `
merged() {
  # What is said first is the tree, whether it could be made or not.
  out=$(git merge-tree --write-tree --no-messages --name-only --allow-unrelated-histories "$1" "$2")
  case $? in
    0) tree=$out ;;
    1) printf '%s\\n' "$out" | tail -n +2; exit ${EXIT.conflicts} ;;
    129) exit ${EXIT.tooOld} ;;
    *) exit 1 ;;
  esac
}
`;

/** $1 the work  $2 the target branch  $3 name, $4 e-mail of who merges. stdin: the message. */
export const MERGE = `${PRELUDE}${MERGED}
if older "$2" "$1"; then echo "$1"; exit 0; fi
if apart "$1" "$2"; then exit ${EXIT.apart}; fi
if older "$1" "$2"; then echo "$2"; exit 0; fi
merged "$1" "$2"
export GIT_AUTHOR_NAME="$3" GIT_AUTHOR_EMAIL="$4" GIT_COMMITTER_NAME="$3" GIT_COMMITTER_EMAIL="$4"
git commit-tree "$tree" -p "$1" -p "$2" -F -
`;

/**
 * $1 the work  $2 the target branch  $3 name, $4 e-mail of who rebases  $5 the most commits. Makes the work's commits again, on top of the
 * target branch, with their authors and messages; without those that change nothing there. EXIT.hasMerges: it has merges,
 * which would be lost. EXIT.tooMany: it has more.
 */
export const REBASE = `${PRELUDE}${MERGED}
if older "$2" "$1"; then echo "$1"; exit 0; fi
if apart "$1" "$2"; then exit ${EXIT.apart}; fi
list=$(git rev-list --reverse --topo-order --parents --max-count="$(($5 + 1))" "$2..$1") || exit
export GIT_COMMITTER_NAME="$3" GIT_COMMITTER_EMAIL="$4"
onto=$2
limit=$5
count=0
while read -r one parent other; do
  if [ -z "$one" ]; then continue; fi
  count=$((count + 1))
  if [ "$count" -gt "$limit" ]; then exit ${EXIT.tooMany}; fi
  if [ -n "$other" ]; then exit ${EXIT.hasMerges}; fi
  { read -r name; read -r email; read -r date; } <<END
$(git show --no-patch --no-show-signature --format="%an%n%ae%n%aI" "$one")
END
  export GIT_AUTHOR_NAME="\${name:-unknown}" GIT_AUTHOR_EMAIL="$email" GIT_AUTHOR_DATE="$date"
  # git merges two commits by what they have in common: here, what the commit was made from; a
  # first one, from nothing.
  from=$(git commit-tree "\${parent:-$(git hash-object -t tree /dev/null)}^{tree}" -m from) &&
    ours=$(git commit-tree "$onto^{tree}" -p "$from" -m ours) &&
    theirs=$(git commit-tree "$one^{tree}" -p "$from" -m theirs) || exit
  merged "$ours" "$theirs"
  if [ "$tree" = "$(git rev-parse "$onto^{tree}")" ]; then continue; fi
  onto=$(git show --no-patch --no-show-signature --format=format:%B "$one" | git commit-tree "$tree" -p "$onto" -F -) || exit
done <<END
$list
END
echo "$onto"
`;
