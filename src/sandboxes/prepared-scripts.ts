/** Scripts that run in a sandbox around the setup of its checkout. They need GNU find, tar and coreutils. Their texts are constants. */

/** Before the records of each section that LOOK prints. No path and no line of the index begins like it. */
export const SECTION = "//";

/** Files that the service or a program's log left there, and folders that are mounted there. */
const NOT_OF_HOME = "-path ./.agent -o -path ./.npm/_logs";

/**
 * find_paths prints what is in the present folder and no folder, and empty ones, in one order. Repositories of git are left
 * out: the checkout's is not setup's to make, and any other in it is noticed by LOOK. $1 not empty: it is the home.
 */
const FIND_PATHS = `
set -u
export LC_ALL=C GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD" GIT_OPTIONAL_LOCKS=0
scratch=$(mktemp -d) || exit
trap 'rm -rf "$scratch"' EXIT
find_paths() {
  if [ -n "$1" ]; then
    find . -mindepth 1 \\( ${NOT_OF_HOME} \\) -prune -o \\( -type f -o -type l -o -type d -empty \\) -printf '%p\\0'
  else
    find . -mindepth 1 -name .git -prune -o \\( -type f -o -type l -o -type d -empty \\) -printf '%p\\0'
  fi >"$scratch/found" || return
  sort -z "$scratch/found"
}
`;

/**
 * $1 target branch. Prints, each ended by NUL: the commits of HEAD and of that branch; the index, with its flags; what is in
 * .git, and in those of submodules, beside objects; tracked files that were changed; all paths of the checkout, and of the home.
 */
export const LOOK = `${FIND_PATHS}
section() { printf '${SECTION}%s\\0' "$1"; }
[ -d .git ] && ! [ -L .git ] || exit
section commits
printf '%s\\0%s\\0' "$(git rev-parse HEAD)" "$(git rev-parse --quiet --verify "refs/remotes/origin/$1")"
section index
git ls-files --stage -v -z || exit
section git
{ find . \\( -path '*/.git/objects/pack' -o -path '*/.git/objects/??' -o -path '*/.git/logs' \\) -prune -o \\
    \\( -path '*/.git' -o -path '*/.git/*' \\) ! \\( -path '*/.git/index' -o -name FETCH_HEAD \\) \\
    \\( -type f -exec sha256sum -z -- {} + -o -printf '%y %l %p\\0' \\) || echo failed
} >"$scratch/git"
sort -z "$scratch/git"
section changed
{ git update-index -q --refresh; git diff-files -z --name-only --ignore-submodules=untracked || echo failed; } >"$scratch/changed"
head -z -n 3 "$scratch/changed"
section checkout
find_paths '' || exit
section home
cd "$HOME" && find_paths home
`;

/** How PACK ends when it refuses. */
export const REFUSED = { tooMany: 3, tooLarge: 4, ownPath: 5 } as const;

/**
 * $1 the folder  $2 not empty: it is the home  $3 the most files  $4 the most bytes  $5 a part of this sandbox's own path, where
 * that is not every sandbox's. stdin: the paths that were there before. stdout: an archive of the others.
 */
export const PACK = `${FIND_PATHS}
cd "$1" || exit
find_paths "$2" >"$scratch/all" || exit
comm -z -13 - "$scratch/all" >"$scratch/new" || exit
[ "$(tr -dc '\\000' <"$scratch/new" | wc -c)" -le "$3" ] || exit ${REFUSED.tooMany}
[ "$(du --files0-from="$scratch/new" -c -B 1 | tail -n 1 | cut -f 1)" -le "$4" ] || exit ${REFUSED.tooLarge}
if [ -n "$5" ]; then
  # Not what links lead to: that may be a device.
  links=$(xargs -0 -r -a "$scratch/new" sh -c 'find "$@" -maxdepth 0 -lname "*$0*" -print -quit' "$5") || exit
  files=$(xargs -0 -r -a "$scratch/new" grep -F -l -s -a -D skip -d skip -e "$5" -- | head -n 1)
  [ -z "$links$files" ] || exit ${REFUSED.ownPath}
fi
tar --create --file=- --format=gnu --numeric-owner --owner=0 --group=0 --no-recursion --null --verbatim-files-from \\
  --files-from="$scratch/new"
`;

/**
 * $1, $2 the archive of the checkout, and its folder  $3, $4 those of the home. Never replaces a file, changes no owner, and
 * takes no setuid. What else an archive may try is undone nowhere: LOOK notices it.
 */
export const UNPACK = `
set -u
unpack() {
  file=$1 folder=$2
  shift 2
  tar --extract --file="$file" --directory="$folder" --skip-old-files --no-same-owner --no-same-permissions \\
    --delay-directory-restore "$@"
}
unpack "$1" "$2" --no-anchored --exclude=.git && unpack "$3" "$4" --anchored --exclude=./.agent --exclude=.agent
`;
