import { RepositoryError } from "./git-errors.ts";
import { STRICT } from "./git-settings.ts";
import type { CheckoutRequest, Inspection, Refusal } from "./request.ts";
import { EXIT, PRELUDE, SIZE } from "./script-parts.ts";
import { sessionRefs } from "./session-refs.ts";
import { type StoreGit, succeeded } from "./store-git.ts";

/** Of more, the beginning is looked at. */
const MAX_BYTES = 128 * 1024 * 1024;
/** Its last line: what git has failed to print is not taken for the whole. */
const END = "end of what is pushed";

/**
 * $1 the session's refs  $2 the work's commit  $3 what the branch has of it; empty: nothing. Prints the messages of the commits
 * that neither the branch nor the target branch has, indented, so that none of their lines is taken for one of a diff; then what
 * each of them changes, binary files as they are.
 */
const LEAVING = `
# Of a merge, git shows no binary file, and no line after a NUL: such files are shown whole. stdin: what it says of all merges.
binary_files() {
  tab=$(printf '\\t')
  while IFS= read -r line; do
    path=\${line#*"$tab"} id=\${line%%"$tab"*}
    id=\${id% *}
    id=\${id##* }
    # It is gone, or a submodule.
    if ! git cat-file -e "$id^{blob}" 2>/dev/null; then continue; fi
    if [ "$(git cat-file blob "$id" | tr -dc '\\000' | head -c 1 | wc -c)" -eq 0 ]; then continue; fi
    printf 'diff --merge\\n+++ b/%s\\n' "$path"
    git cat-file blob "$id" | sed 's/^/+/' || return
    printf '\\n'
  done
}
target=$(commit "$1/base") || target=
pushed=
if [ -n "$3" ]; then pushed=$(commit "$3") || pushed=; fi
set -- "$2" \${target:+"^$target"} \${pushed:+"^$pushed"}
{
  git log --no-color --format='%w(0,1,1)%an%n%ae%n%cn%n%ce%n%B' "$@" -- &&
  git log --no-color --format= --patch -c --unified=0 --root --text --no-renames --no-textconv --no-ext-diff \\
    --submodule=short --src-prefix=a/ --dst-prefix=b/ "$@" -- &&
  merged=$(git log --no-color --format= --raw -c --merges --no-abbrev --no-renames "$@" --) &&
  printf '%s\\n' "$merged" | binary_files &&
  printf '\\n${END}\\n'
} | head -c ${MAX_BYTES}
`;

/**
 * The same of a work that is in no store yet, with $4 where the pack begins in stdin, a bundle, and $5, $6 see SIZE. Its objects
 * are in a folder of their own meanwhile, which goes with the script; what a killed one has left goes with TIDY, or with the
 * session's next work.
 */
const ARRIVING = `${PRELUDE}${SIZE}
quarantine="$STORE/objects/tmp_objdir-work-\${1##*/}"
trap 'rm -rf "$quarantine"' EXIT
trap 'exit 143' TERM
rm -rf "$quarantine"
mkdir -p "$quarantine" || exit
case $STORE in
  *:*) own="\\"$STORE/objects\\"" ;;
  *) own=$STORE/objects ;;
esac
export GIT_ALTERNATE_OBJECT_DIRECTORIES="$own\${GIT_ALTERNATE_OBJECT_DIRECTORIES:+:$GIT_ALTERNATE_OBJECT_DIRECTORIES}"
export GIT_OBJECT_DIRECTORY="$quarantine"
tail -c "+$4" | git index-pack --stdin --fix-thin ${STRICT} >/dev/null || exit ${EXIT.badWork}
commit "$2" >/dev/null || exit ${EXIT.badWork}
size "$2" "$5" "$6" || exit
${LEAVING}`;

/** @returns what the request's work, which is in the store, must not be pushed with. @throws RepositoryError if it cannot be looked at. */
export async function inspected(
  { inStore }: StoreGit,
  request: CheckoutRequest,
  tip: string,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const inspection = request.inspect?.();
  if (!inspection) return undefined;
  const { stdout, refusal } = reading(inspection);
  const args = [sessionRefs(request.sessionId), tip, request.pushes.commit ?? ""];
  succeeded(await inStore(`${PRELUDE}${LEAVING}`, args, signal, { stdout, readOnly: true }));
  return refusal();
}

/**
 * Looks at the work in a bundle before any of it is in the store: what is in there, backups have, and whoever reads the session's diff.
 * @param work.sizes what a checkout may have. @param work.tooLarge it is more.
 * @returns what it must not be kept with. @throws RepositoryError if it cannot be looked at.
 */
export async function inspectedBundle(
  { inStore }: StoreGit,
  request: CheckoutRequest,
  work: { bundle: string; tip: string; offset: string; sizes: readonly string[]; tooLarge: () => Error },
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const inspection = request.inspect?.();
  if (!inspection) return undefined;
  const { stdout, refusal } = reading(inspection);
  const { bundle, tip, offset, sizes, tooLarge } = work;
  const args = [sessionRefs(request.sessionId), tip, request.pushes.commit ?? "", offset, ...sizes];
  const how = { stdin: { file: bundle }, stdout, timeoutIsFinal: true };
  const result = await inStore(ARRIVING, args, signal, how);
  if (result.code === EXIT.tooLarge) throw tooLarge();
  succeeded(result);
  return refusal();
}

/** Gives an inspection what LEAVING prints. */
function reading(inspection: Inspection) {
  let size = 0;
  let end = "";
  return {
    stdout(part: Uint8Array) {
      size += part.length;
      end = (end + Buffer.from(part.slice(-2 * END.length)).toString("latin1")).slice(-2 * END.length);
      inspection.take(part);
    },
    /** @throws RepositoryError if that was not all. */
    refusal(): Refusal | undefined {
      if (size < MAX_BYTES && !end.endsWith(`\n${END}\n`))
        throw new RepositoryError("What would be pushed could not be read.", undefined, "machine");
      return inspection.refusal();
    },
  };
}
