import { join } from "node:path";

/**
 * What a source repository publishes on the branches that sessions begin with is fetched once, into a repository of its own in
 * the store's folder, `base`. The store borrows its objects, and so do checkouts, which get the folder read-only: what a checkout
 * costs does not grow with the history. Nothing that a session made is in there; that stays in the store, which no sandbox
 * sees.
 *
 * Nothing is ever removed from it while a session has the repository: refs/tips/<commit> stands for each commit that a branch has
 * had, with all that is before it. Packs are joined, without leaving anything out.
 */
export const sharedObjectsOf = (store: string): string => join(store, "base/objects");

/** Needs JOIN_PACKS. */
export const SHARED = `
# Makes the bare repository $1, with the lines $2 of configuration. Its HEAD comes last: what has one is complete.
make_repository() {
  if [ -f "$1/HEAD" ]; then return 0; fi
  mkdir -p "$1/objects/info" "$1/objects/pack" "$1/refs/heads" || return
  printf '[core]\\n\\trepositoryformatversion = 0\\n\\tfilemode = true\\n\\tbare = true\\n%s' "$2" >"$1/config" &&
    echo "ref: refs/heads/main" >"$1/HEAD.new" && mv "$1/HEAD.new" "$1/HEAD"
}
# Whether the commit $1 is shared, with all that is before it.
is_shared() { [ -f "$STORE/base/refs/tips/$1" ] || grep -q -s "^$1 refs/tips/" "$STORE/base/packed-refs"; }
# $1 URL  $2 branch  $3 a name that nobody else uses meanwhile. Fetches the branch into what is shared, and sets \`target\`.
share() {
  make_repository "$STORE/base" "[fetch]
	unpackLimit = 1
" || return
  borrow_shared
  GIT_DIR=$STORE/base
  fetch_shared "$@"
  code=$?
  GIT_DIR=$STORE
  return "$code"
}
fetch_shared() {
  fetch "$1" "+refs/heads/$2:refs/new/$3" && target=$(commit "refs/new/$3") || return
  printf 'update refs/tips/%s %s\\ndelete refs/new/%s\\n' "$target" "$target" "$3" | git update-ref --stdin || return
  if join_packs; then git pack-refs --all; fi
  return 0
}
`;
