import { MIB } from "../../shared/units.ts";
import { quotedName } from "./notices.ts";

/** Of a list, as many are named. */
const NAMED = 5;
const INSTALL = "git-lfs is not installed on the machine of the service (Debian: apt-get install git-lfs)";

/** Why a checkout has no contents of files of Git LFS. */
export type WhyPointers = "not installed" | "borrowed" | "too large" | { failure: string };

/** What the user is told of files whose contents a checkout does not have. @param maxBytes of a checkout. */
export const pointersNotice = (paths: readonly string[], why: WhyPointers, maxBytes: number): string =>
  paths.length === 1
    ? `The checkout has a pointer instead of 1 file of Git LFS (${named(paths)}): ${reasonOf(why, maxBytes)}.`
    : `The checkout has pointers instead of ${paths.length} files of Git LFS (${named(paths)}): ${reasonOf(why, maxBytes)}.`;

function reasonOf(why: WhyPointers, maxBytes: number): string {
  if (typeof why === "object") return why.failure;
  if (why === "borrowed") return "sandboxes that are borrowed get no objects";
  if (why === "not installed") return INSTALL;
  return `a checkout may have ${maxBytes / MIB} MB of objects, in two copies (REPO_MAX_MB)`;
}

/** What the user is told of files that should be pointers in commits. */
export function plainNotice(paths: readonly string[], installed: boolean): string {
  const [what, as] =
    paths.length === 1 ? ["1 file", "a plain file"] : [`${paths.length} files`, "plain files"];
  const why = installed ? "git-lfs was not used where the commit was made" : INSTALL;
  return `${what} of Git LFS (${named(paths)}) ${paths.length === 1 ? "was" : "were"} committed as ${as}: ${why}.`;
}

/** What the user is told of pointers whose objects nobody has. */
export const lostNotice = (oids: readonly string[], display: string): string =>
  `The work has pointers of Git LFS whose contents are neither in the checkout nor at ${display} (${named(oids)}).`;

function named(names: readonly string[]): string {
  const more = names.length > NAMED ? `, and ${names.length - NAMED} more` : "";
  return `${names.slice(0, NAMED).map(quotedName).join(", ")}${more}`;
}
