import { EXIT, PRELUDE, SCRATCH } from "./script-parts.ts";

/**
 * How the service reads, fetches and uploads what a repository keeps with Git LFS. As in scripts.ts, the texts are constants.
 * Objects are in $STORE/lfs, each under its own hash, which git-lfs has computed.
 */

/** An object that nobody has asked for this long is fetched again, or, if it was never uploaded, lost. */
const LFS_KEPT_DAYS = 30;
/** A pointer is a text of at most this many bytes. */
const POINTER_BYTES = 1024;

/** Sets `object`, the file of the object $1 below $STORE/lfs. */
const OBJECT = `
object_file() {
  rest=\${1#??}
  object=objects/\${1%"$rest"}/\${rest%"\${rest#??}"}/$1
}
`;

/**
 * $1 commit. lfs_files prints the files at the commit that its .gitattributes give to Git LFS, as ls-files --stage -z does.
 * contents prints what is as small as a pointer, as cat-file --batch does; stdin: ids.
 */
const FILES = `${SCRATCH}
make_scratch && mkdir "$scratch/none" || exit
lfs_files() {
  # Of a bare repository git reads the .gitattributes only as those of a work tree: an empty one, so that the index counts.
  export GIT_INDEX_FILE="$scratch/index"
  git read-tree "$1" &&
    GIT_WORK_TREE="$scratch/none" git -c core.bare=false ls-files --stage -z -- ":(attr:filter=lfs)"
}
contents() {
  git cat-file --batch-check="%(objectname) %(objecttype) %(objectsize)" |
    LC_ALL=C awk '$2 == "blob" && $3 <= ${POINTER_BYTES} { print $1 }' | git cat-file --batch
}
`;

/** $1 commit. Prints the files of Git LFS at the commit, an empty name, and the contents that may be pointers. */
export const LFS_FILES = `${PRELUDE}${FILES}
lfs_files "$1" >"$scratch/files" || exit
cat "$scratch/files"
printf '\\0'
tr '\\0' '\\n' <"$scratch/files" | LC_ALL=C awk '/^100/ { print $2 }' | sort -u | contents
`;

/**
 * $1 the session's refs  $2 the work's commit. Prints the files of Git LFS at the commit, an empty name, the ids of all
 * files that the commits have in addition to what is in the source repository, each on a line, an empty line, and the
 * contents of those that may be pointers.
 */
export const LFS_WORK = `${PRELUDE}${FILES}
refs=$1
read_refs
lfs_files "$2" || exit
printf '\\0'
git rev-list --objects --no-object-names "$2" --not "$base" \${pushed:+"$pushed"} >"$scratch/added" || exit
git cat-file --batch-check="%(objectname) %(objecttype)" <"$scratch/added" |
  awk '$2 == "blob" { print $1 }' >"$scratch/blobs"
cat "$scratch/blobs"
echo
contents <"$scratch/blobs"
`;

/** stdin: ids of pointers, as they are in commits. Fetches their objects. */
export const LFS_FETCH = `${PRELUDE}
# What was left when an earlier one was killed, and what nobody has asked for.
find "$STORE/lfs" -type f -mtime +${LFS_KEPT_DAYS} -exec rm -f {} + 2>/dev/null
find "$STORE/lfs/tmp" "$STORE/lfs/incomplete" -type f -mmin +60 -exec rm -f {} + 2>/dev/null
# git-lfs takes a commit: this one has nothing else in it.
number=0
tree=$(while read -r id; do
  number=$((number + 1))
  printf '100644 blob %s\\t%s\\n' "$id" "$number"
done | git mktree) || exit
one=$(GIT_AUTHOR_NAME=lfs GIT_AUTHOR_EMAIL=lfs@localhost GIT_AUTHOR_DATE="@0 +0000" GIT_COMMITTER_NAME=lfs \\
  GIT_COMMITTER_EMAIL=lfs@localhost GIT_COMMITTER_DATE="@0 +0000" git commit-tree -m objects "$tree") || exit
git-lfs fetch objects "$one" >/dev/null
`;

/** stdin: objects. Copies those that the source repository has, which is a folder of this machine. */
export const LFS_FETCH_LOCAL = `${PRELUDE}${OBJECT}
while read -r oid; do
  object_file "$oid"
  [ -f "$SOURCE/lfs/$object" ] || continue
  git-lfs clean <"$SOURCE/lfs/$object" >/dev/null || exit
done
`;

/** Objects in the store. Uploads them: the source repository answers which of them it lacks. */
export const LFS_PUSH = `${PRELUDE}
git-lfs push --object-id objects "$@" >/dev/null
`;

/** The same where the source repository is a folder of this machine. */
export const LFS_PUSH_LOCAL = `${PRELUDE}${OBJECT}
if ! [ -d "$SOURCE/lfs" ]; then
  echo "git-lfs has no folder there yet; run 'git lfs env' in it once" >&2
  exit 1
fi
for one do
  object_file "$one"
  to=$SOURCE/lfs/$object
  if [ -f "$to" ]; then continue; fi
  mkdir -p "\${to%/*}" && cp "$STORE/lfs/$object" "$to.$$" && mv "$to.$$" "$to" || exit
done
`;

/**
 * stdin, from a sandbox: objects, each after a line "its size". git-lfs keeps what comes under the hash that it computes.
 */
export const LFS_TAKE = `${PRELUDE}
while IFS= read -r size; do
  case $size in '' | *[!0-9]*) exit ${EXIT.badWork} ;; esac
  head -c "$size" | git-lfs clean >/dev/null || exit
done
`;

/** In a sandbox. stdin: objects. Prints those that the checkout has, as LFS_TAKE reads them. */
export const LFS_GIVE = `
${OBJECT}
while read -r oid; do
  object_file "$oid"
  object=.git/lfs/$object
  [ -f "$object" ] || continue
  size=$(wc -c <"$object") && printf '%s\\n' "$((size))" && head -c "$size" "$object" || exit
done
`;

/**
 * For CHECK_OUT, with the new repository in $own. stdin: lines for its attributes, which begin with a quotation mark, and
 * objects, each on a line. Writes and copies them into the checkout's own.
 */
export const LFS_COPY = `${OBJECT}
copy_lfs() {
  while read -r oid; do
    case $oid in '"'*) printf '%s\\n' "$oid" >>"$own/info/attributes" || return; continue ;; esac
    object_file "$oid"
    mkdir -p "$own/lfs/\${object%/*}" && cp "$STORE/lfs/$object" "$own/lfs/$object" || return
  done
}
`;
