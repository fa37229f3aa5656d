import { RepositoryError } from "./git-errors.ts";
import type { CheckoutRequest } from "./request.ts";
import { PRELUDE } from "./script-parts.ts";
import { sessionRefs } from "./session-refs.ts";
import { type StoreGit, succeeded } from "./store-git.ts";

/** Of more, the beginning is looked at. */
const MAX_BYTES = 128 * 1024 * 1024;
/** Its last line: what git has failed to print is not taken for the whole. */
const END = "end of what is pushed";

/**
 * $1 the session's refs  $2 the work's commit  $3 what the branch has of it; empty: nothing. Prints the messages of the commits
 * that neither the branch nor the target branch has, then what each of them changes, binary files as they are.
 */
const LEAVING = `${PRELUDE}
target=$(commit "$1/base") || target=
pushed=
if [ -n "$3" ]; then pushed=$(commit "$3") || pushed=; fi
set -- "$2" \${target:+"^$target"} \${pushed:+"^$pushed"}
{
  git log --no-color --format=%an%n%ae%n%B "$@" -- &&
  git log --no-color --format= --patch -c --unified=0 --root --text --no-renames --no-textconv --no-ext-diff \\
    --submodule=short --src-prefix=a/ --dst-prefix=b/ "$@" -- &&
  printf '\\n${END}\\n'
} | head -c ${MAX_BYTES}
`;

/** @returns why the request's work must not be pushed. @throws RepositoryError if it cannot be looked at. */
export async function inspected(
  { inStore }: StoreGit,
  request: CheckoutRequest,
  tip: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const inspection = request.inspect?.();
  if (!inspection) return undefined;
  let size = 0;
  let end = "";
  const stdout = (part: Uint8Array) => {
    size += part.length;
    end = (end + Buffer.from(part.slice(-2 * END.length)).toString("latin1")).slice(-2 * END.length);
    inspection.take(part);
  };
  const args = [sessionRefs(request.sessionId), tip, request.pushes.commit ?? ""];
  succeeded(await inStore(LEAVING, args, signal, { stdout, readOnly: true }));
  if (size < MAX_BYTES && !end.endsWith(`\n${END}\n`))
    throw new RepositoryError("What would be pushed could not be read.", undefined, "machine");
  return inspection.reason();
}
