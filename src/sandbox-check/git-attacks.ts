import { messageOf } from "../shared/errors.ts";
import { withTimeout } from "../shared/time.ts";
import { type Attack, open } from "./attack.ts";
import { branchesOf, delivered, plant, withoutSecret } from "./git-delivery.ts";

/** What the service takes out of a checkout: objects, branches and files that are not the session's own. */
export const GIT_ATTACKS: readonly Attack[] = [
  {
    id: "git-dot-git-file",
    title: "deliver another tenant's repository through a .git file or link that names it",
    stoppedBy: "git in a sandbox",
    inside: ({ otherFolder }) => plant(`mv .git old; echo "gitdir: ${otherFolder}/checkout/.git" > .git`),
    outside: (host) => delivered(host, withoutSecret, branchesOf),
  },
  {
    id: "git-dot-git-link",
    title: "deliver another tenant's repository through links in place of .git and its objects",
    stoppedBy: "git in a sandbox",
    inside: ({ otherFolder }) => plant(`rm -rf .git && ln -s ${otherFolder}/checkout/.git .git`),
    outside: (host) => delivered(host, withoutSecret, branchesOf),
  },
  {
    id: "git-alternates",
    title: "take objects of another tenant through objects/info/alternates",
    stoppedBy: "git in a sandbox",
    inside: ({ otherFolder }) =>
      plant(`echo ${otherFolder}/checkout/.git/objects > .git/objects/info/alternates
        for id in $(git cat-file --batch-check='%(objectname) %(objecttype)' --batch-all-objects | sed -n 's/ blob$//p'); do git update-index --add --cacheinfo 100644,$id,stolen-$id; done
        git commit -qm stolen`),
    outside: (host) => delivered(host, withoutSecret),
  },
  {
    id: "git-replace-and-grafts",
    title: "show other history than is pushed: replace refs, grafts, shallow files, notes",
    stoppedBy: "the session's branch alone leaves the checkout",
    inside: () =>
      plant(`echo a > a; git add a; git commit -qm a; tree=$(git mktree </dev/null); c=$(git commit-tree -m orphan $tree)
        git replace HEAD $c; git rev-parse HEAD > .git/info/grafts; git rev-parse HEAD > .git/shallow; git notes add -m note HEAD; git tag v1`),
    outside: (host) => delivered(host, branchesOf),
  },
  {
    id: "git-other-branches",
    title: "push to main, to tags, to refs named like options, by refs of the checkout",
    stoppedBy: "the session's branch alone leaves the checkout",
    inside: ({ marker }) =>
      plant(`echo a > a; git add a; git commit -qm a; git branch -f main; git update-ref 'refs/heads/--upload-pack=touch ${marker}' HEAD
        git update-ref 'refs/heads/--receive-pack=x' HEAD; git tag -- v1; git update-ref refs/heads/prompt/other HEAD; git config push.default matching; git config remote.origin.push '+HEAD:refs/heads/main'
        git config remote.origin.mirror true; git push origin HEAD:main`),
    outside: (host) => delivered(host, branchesOf),
  },
  {
    id: "git-special-files",
    title: "block the service on FIFOs, sockets and endless files in the checkout and in .git",
    stoppedBy: "regular files only, git in a sandbox with a time limit",
    inside: () =>
      plant(
        "mkfifo pipe CLAUDE.md .git/FETCH_HEAD .git/index.lock .git/config.worktree; ln -s /dev/zero zero; ln -s /proc/self/mem mem; rm -f .git/packed-refs; mkfifo .git/packed-refs",
      ),
    async outside(host) {
      const { readInstructions } = await import("../agents/instructions.ts");
      const text = await withTimeout(
        5000,
        readInstructions(host.sandbox.hostPaths.checkout),
        "reading hangs",
      ).catch(messageOf);
      return text === "reading hangs" ? open("reading the instructions hangs") : delivered(host);
    },
  },
];
