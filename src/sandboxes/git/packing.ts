import type { AgentCommand } from "../../agents/agent.ts";
import { lfsFilterSettings } from "./git-settings.ts";
import { LFS_GIVE } from "./lfs-scripts.ts";
import { quotedName } from "./notices.ts";
import { plainPath } from "./submodule-listing.ts";

/** The name of a bundle's one branch. */
export const BUNDLED = "refs/bundled/work";

/** Before the name of a submodule whose folder has something else than the work. */
const CHANGED_INSIDE = "changed inside: ";
const MAX_NAMED = 50;

/** Overrides the checkout's own configuration, which the agent may have written. */
const SETTINGS: Readonly<Record<string, string>> = {
  "core.hooksPath": "/dev/null",
  "core.fsmonitor": "false",
  "core.bare": "false",
  "commit.gpgSign": "false",
  // The message as it is, with its trailers.
  "commit.cleanup": "verbatim",
  "i18n.commitEncoding": "UTF-8",
  "gc.auto": "0",
  "maintenance.auto": "false",
  "advice.addEmbeddedRepo": "false",
  // As in git-settings.ts.
  "core.bigFileThreshold": "16m",
  "core.packedGitWindowSize": "32m",
  "core.packedGitLimit": "256m",
  "pack.threads": "1",
  "pack.windowMemory": "64m",
};

const environmentOf = (settings: Readonly<Record<string, string>>): Readonly<Record<string, string>> => ({
  ...Object.fromEntries(
    Object.entries(settings).flatMap(([key, value], index) => [
      [`GIT_CONFIG_KEY_${index}`, key],
      [`GIT_CONFIG_VALUE_${index}`, value],
    ]),
  ),
  GIT_CONFIG_COUNT: String(Object.keys(settings).length),
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_NO_REPLACE_OBJECTS: "1",
  GIT_TERMINAL_PROMPT: "0",
});

/** The environment of the packing script, except for the author. Constants: they may be part of a script's text. */
export const PACKING_ENVIRONMENT = environmentOf(SETTINGS);
/** The same where there is git-lfs: files whose contents the checkout has are pointers in commits. */
const WITH_LFS = environmentOf({ ...SETTINGS, ...lfsFilterSettings });
/** Of git in a checkout, whose own configuration counts for nothing. @param lfs the checkout has git-lfs. */
export const checkoutEnvironment = (lfs: boolean) => (lfs ? WITH_LFS : PACKING_ENVIRONMENT);

/**
 * $1: the commit that the checkout started from. $2: the session's branch. stdin: the commit message.
 * stdout: the bundle, empty if there is nothing new. stderr: what leftOutIn reads.
 */
export const PACKING_SCRIPT = `
set -u
exec 3>&1 >/dev/null
fail() { echo "$1" >&2; exit 1; }
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD"
# Sets tip, the work's commit, and since, what the bundle need not contain.
commit_work() {
  git rev-parse --git-dir 2>/dev/null || fail "the agent left no usable git repository behind"
  # Nothing else is running: any lock file is stale, left by something that was killed.
  find "$GIT_DIR/" -name "*.lock" -type f -delete
  links=$(git ls-files --stage 2>/dev/null | grep '^160000 [0-9a-f]* 0')
  # If adding everything at once fails (a nested repository without commits, an unreadable file), add path by path.
  git add --all 2>/dev/null || { rm -f "$GIT_DIR/index"; git reset --quiet 2>/dev/null; git add --all 2>/dev/null; } ||
    git ls-files -z --others --modified --deleted --exclude-standard | xargs -0 -r -n 1 git add --all -- 2>/dev/null
  # A submodule is where the agent has moved it: by git, and not by a commit in its folder, which nobody else may have.
  if [ -n "$links" ]; then
    { printf '%s\\n\\n' "$links"; git ls-files --stage; } | LC_ALL=C awk -F '\\t' '
      $0 == "" { added = 1; next }
      !added { was[$2] = $0; next }
      /^160000 / && ($2 in was) { print was[$2] }' | git update-index --index-info
  fi
  if ! git diff --cached --quiet --no-ext-diff || git rev-parse --quiet --verify MERGE_HEAD; then
    git commit --no-verify --quiet --file=- || fail "what the agent left uncommitted could not be committed"
  fi
  if [ -n "$links" ]; then
    git diff-files --raw --ignore-submodules=none 2>/dev/null |
      sed -n 's/^:160000 160000 [0-9a-f]* [0-9a-f]* [A-Z]	/${CHANGED_INSIDE}/p' | head -n ${MAX_NAMED} >&2
  fi
  head=$(git rev-parse --quiet --verify "HEAD^{commit}") || head=
  own=$(git rev-parse --quiet --verify "refs/heads/$2^{commit}") || own=
  tip=$head
  # The agent checked out another commit and changed nothing there: its work is still on its branch.
  if [ -n "$own" ]; then
    if [ -z "$head" ] || git merge-base --is-ancestor "$head" "$own"; then tip=$own; fi
  fi
  [ -n "$tip" ] || fail "the agent left no commit behind"
  [ "$tip" != "$1" ] || exit 0
  since=
  if git cat-file -e "$1^{commit}" 2>/dev/null; then
    if git merge-base --is-ancestor "$tip" "$1"; then exit 0; fi
    since="^$1"
  fi
}
# Programs that the agent has left behind run in there (filters): they must not have the descriptor of the bundle.
commit_work "$1" "$2" 3>&-
git update-ref ${BUNDLED} "$tip" && git bundle create --quiet - ${BUNDLED} \${since:+"$since"} >&3 3>&-
`;

/**
 * The command that commits uncommitted changes and packs new commits, all INSIDE the sandbox: whatever an agent did to its
 * repository (hooks, filters, a .git that points elsewhere) affects nothing outside. Only a bundle, plain data, comes out.
 * The script is a constant; arguments, environment and stdin vary.
 */
export function packCommand(options: {
  message: string;
  start: string;
  branch: string;
  author: { name: string; email: string };
  /** The checkout has git-lfs. */
  lfs: boolean;
}): AgentCommand {
  const { message, start, branch, author, lfs } = options;
  return {
    argv: ["sh", "-c", PACKING_SCRIPT, "sh", start, branch],
    env: {
      ...checkoutEnvironment(lfs),
      GIT_AUTHOR_NAME: author.name,
      GIT_AUTHOR_EMAIL: author.email,
      GIT_COMMITTER_NAME: author.name,
      GIT_COMMITTER_EMAIL: author.email,
    },
    stdin: message,
    readable: [],
    builtIn: true,
  };
}

/** Prints objects of Git LFS that the checkout has made: only data, as the bundle is. */
export const giveCommand = (oids: readonly string[]): AgentCommand => ({
  argv: ["sh", "-c", LFS_GIVE],
  env: {},
  stdin: oids.map((oid) => `${oid}\n`).join(""),
  readable: [],
  builtIn: true,
});

/** What an agent has left in the checkout and is no part of its work, in sentences. @param stderr of the packing. */
export const leftOutIn = (stderr: string): string[] =>
  stderr.split("\n").flatMap((line) => {
    const path = line.startsWith(CHANGED_INSIDE) ? plainPath(line.slice(CHANGED_INSIDE.length)) : undefined;
    return path === undefined
      ? []
      : [`Changes in the submodule ${quotedName(path)} that no commit of the work has are left out.`];
  });
