import { PACKING_ENVIRONMENT } from "../git/packing.ts";

/**
 * Scripts that run in a borrowed sandbox, in a folder of their own. They are constants: what varies is in files beside
 * them, so that text from a user is never more than data to a shell.
 */
export const CHECK_OUT = `
set -eu
cd "$(dirname "$0")"
branch=$(cat branch) target=$(cat target) head=$(cat head) base=$(cat base) origin=$(cat origin)
rm -rf checkout
git init --quiet --template= --initial-branch="$branch" -- checkout
cd checkout
# Where the history of the bundle ends.
if [ -s ../shallow ]; then cp ../shallow .git/shallow; fi
git fetch --quiet --no-tags --update-head-ok -- ../in.bundle "$head:refs/heads/$branch" "$base:refs/remotes/origin/$target"
git remote add origin "$origin"
git config user.name "$(cat ../author-name)"
git config user.email "$(cat ../author-email)"
# A git-lfs there would look for the contents at a host that it cannot reach, and fail.
GIT_LFS_SKIP_SMUDGE=1 git checkout --quiet --force "$branch" --
rm -f ../in.bundle
`;

/** Writes the bundle of packing.sh to out.bundle. */
export const PACK = `
set -eu
cd "$(dirname "$0")"
${Object.entries(PACKING_ENVIRONMENT)
  .map(([key, value]) => `export ${key}='${value}'`)
  .join("\n")}
GIT_AUTHOR_NAME=$(cat author-name) GIT_AUTHOR_EMAIL=$(cat author-email)
GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
here=$PWD
cd checkout
sh "$here/packing.sh" "$(cat "$here/start")" "$(cat "$here/branch")" < "$here/message" > "$here/out.bundle"
`;

/** Gives the files `file-1`, `file-2`, … the names that are in the lines of `file-names`, in a new folder. */
export const MOVE_FILES = `set -e
rm -rf attachments
mkdir attachments
n=0
while IFS= read -r name; do
  n=$((n + 1))
  mv "file-$n" "attachments/$name"
done < file-names
`;
