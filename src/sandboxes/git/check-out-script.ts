import { LFS_COPY } from "./lfs-scripts.ts";
import { PRELUDE, SIZE } from "./script-parts.ts";
import { BOUNDARY } from "./shallow-scripts.ts";
import { WALK } from "./walk-script.ts";

/** What CHECK_OUT prints of a checkout that needs the objects of shared-objects.ts. */
export const BORROWS = "borrows";

/**
 * $1 branch  $2 target branch  $3, $4 see SIZE  $5 configuration. stdin: what FETCH prints, the commit, that of the target
 * branch, and "shared" or not; it comes when they are fetched, and this waits for it. Then what LFS_COPY reads.
 * Makes a repository of its own: what an agent does to it cannot reach the store. It borrows the shared objects where $BORROW
 * says so, and has copies of all others. Prints what SIZE does, and BORROWS.
 */
export const CHECK_OUT = `${PRELUDE}${SIZE}${WALK}${BOUNDARY}${LFS_COPY}
own=$CHECKOUT/.git
mkdir -p "$own/objects/pack" "$own/objects/info" "$own/refs/heads" "$own/info" "$own/hooks" || exit
printf '%s' "$5" >"$own/config" && printf 'ref: refs/heads/%s\\n' "$1" >"$own/HEAD" || exit
read -r start base shared || exit
# The first fetch may have begun after this.
borrow_shared
# Beside the packing, which is bounded by itself.
counting=
if [ -f "$STORE/walked/$start" ]; then fits "$start" "$3" "$4" show || exit
else
  size "$start" "$3" "$4" show &
  counting=$!
fi
printf '%s refs/heads/%s\\n%s refs/remotes/origin/%s\\n' "$start" "$1" "$base" "$2" >"$own/packed-refs" || exit
copy_objects() {
  git pack-objects --revs --stdout --quiet --window=0 --delta-base-offset | git --git-dir="$own" index-pack --stdin >/dev/null
}
if [ "$shared" = shared ] && [ -n "\${BORROW:-}" ]; then
  echo "$STORE/base/objects" >"$own/objects/info/alternates" && echo ${BORROWS} || exit
  [ "$start" = "$base" ] || printf '%s\\n' "$start" "^$base" | copy_objects
else
  # First: what is fetched meanwhile only adds to what is packed.
  if [ -f "$STORE/shallow" ]; then
    boundary "$start" "$base" >"$own/shallow"
    [ -s "$own/shallow" ] || rm "$own/shallow"
  fi
  printf '%s\\n' "$start" "$base" | copy_objects
fi
packed=$?
[ -z "$counting" ] || wait "$counting" || exit
[ "$packed" -eq 0 ] || exit "$packed"
copy_lfs || exit
cd "$CHECKOUT" || exit
export GIT_DIR="$own" GIT_WORK_TREE="$CHECKOUT"
# git-lfs uses the objects that are here, and finds no host for others, whatever the repository says.
git -c lfs.url=http://127.0.0.1:1 -c lfs.transfer.maxretries=1 -c lfs.fetchinclude= -c lfs.fetchexclude= \\
  checkout --quiet --force "$1" --
`;
