import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../shared/errors.ts";
import { withTimeout } from "../shared/time.ts";
import { type Attack, type Attempt, all, blocked, CANARY, type Host, open } from "./attack.ts";

/** A delivery that takes longer is given up, as when a prompt is cancelled; that must work soon. */
const DELIVERY_TIMEOUT_MS = 10_000;
const HANGS = "delivery cannot be ended";
const MIB = 1024 * 1024;
const never = () => new AbortController().signal;

/** Runs a script in the checkout. What it could not do is not a failure: the host's side decides. */
function plant(script: string, env: Record<string, string> = {}): Attempt {
  const { stderr } = Bun.spawnSync(["sh", "-c", script], {
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/tmp", ...env },
    stdio: ["ignore", "ignore", "pipe"],
    timeout: 30_000,
  });
  return blocked(stderr.toString().trim().split("\n").at(-1)?.slice(0, 80) || "planted");
}

/** Delivers the work as the service does after a run. @returns what was said, for people. */
async function deliver({ sandbox }: Host): Promise<string> {
  try {
    const signal = AbortSignal.timeout(DELIVERY_TIMEOUT_MS);
    const work = await withTimeout(
      3 * DELIVERY_TIMEOUT_MS,
      sandbox.deliverWork("sandbox check", signal),
      HANGS,
    );
    return work.push.pushed ? `${work.commits} commits pushed` : work.push.reason;
  } catch (error) {
    return messageOf(error);
  }
}

const ranOnHost = ({ target }: Host): Attempt =>
  existsSync(target.marker) ? open("a program ran on the host") : blocked("nothing ran on the host");

/** Everything that the source repository holds. */
async function git(host: Host, ...args: string[]): Promise<string> {
  const child = Bun.spawn(["git", "-c", "safe.directory=*", `--git-dir=${host.origin}`, ...args], {
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/nonexistent" },
    stdio: ["ignore", "pipe", "ignore"],
  });
  return child.stdout.text();
}

async function branchesOf(host: Host): Promise<Attempt> {
  const refs = (await git(host, "for-each-ref", "--format=%(refname)")).trim().split("\n").sort();
  const allowed = ["refs/heads/main", `refs/heads/${host.request.branch}`];
  const others = refs.filter((ref) => !allowed.includes(ref));
  const count = (await git(host, "rev-list", "--count", "main")).trim();
  return all([
    others.length > 0
      ? open(`${others.join(", ")} were pushed`)
      : blocked("the session's branch alone was pushed"),
    count === "1" ? blocked("main is as it was") : open(`main has ${count} commits`),
  ]);
}

async function withoutSecret(host: Host): Promise<Attempt> {
  const log = await git(host, "log", "--all", "-p", "--format=%H");
  return log.includes(CANARY) ? open("another tenant's secret was pushed") : blocked("no secret was pushed");
}

async function delivered(
  host: Host,
  ...checks: ((host: Host) => Attempt | Promise<Attempt>)[]
): Promise<Attempt> {
  const said = await deliver(host);
  if (said.includes(HANGS)) return open(said);
  const results = all(await Promise.all([ranOnHost, ...checks].map((one) => one(host))));
  return { ...results, observed: `${results.observed} (${said.split("\n")[0]?.slice(0, 100)})` };
}

const HOOKS =
  "pre-push pre-commit post-commit reference-transaction post-index-change post-checkout pre-receive update post-update";

export const GIT_ATTACKS: readonly Attack[] = [
  {
    id: "git-path-repository",
    title: "have the service push to a repository made by the agent, whose hook runs on the host",
    stoppedBy: "paths only below LOCAL_REPOSITORIES, git in a sandbox",
    inside: ({ marker }) =>
      plant(`git init -q --bare evil.git && git push -q evil.git HEAD:refs/heads/main
        printf '#!/bin/sh\\ntouch ${marker}\\n' > evil.git/hooks/pre-receive; chmod +x evil.git/hooks/pre-receive; chmod -R a+rX .`),
    async outside(host) {
      const { provider, sandbox, request } = host;
      const repo = join(sandbox.hostPaths.checkout, "evil.git");
      const evil = { ...request, sessionId: crypto.randomUUID(), repo, branch: `${request.branch}-evil` };
      try {
        const next = await provider.open(provider.plan(), evil, never(), async () => undefined);
        const command = { argv: ["sh", "-c", "echo x > x"] as const, env: {}, stdin: "", readable: [] };
        await next.start(command, 10_000).exit;
        const said = await deliver({ ...host, sandbox: next });
        await provider.release(next.config);
        const ran = ranOnHost(host);
        return all([ran, open(`the service used a repository below DATA_DIR (${said.slice(0, 100)})`)]);
      } catch (error) {
        return all([ranOnHost(host), blocked(messageOf(error).slice(0, 120))]);
      }
    },
  },
  {
    id: "git-hooks-and-config",
    title:
      "run a program on the host by hooks, fsmonitor, filters, helpers, pagers and other settings of the checkout",
    stoppedBy: "git in a sandbox, work leaves as a bundle",
    inside: ({ marker }) =>
      plant(`mkdir -p h .git/hooks; for n in ${HOOKS}; do printf '#!/bin/sh\\ntouch ${marker}\\n' > h/$n; chmod +x h/$n; cp h/$n .git/hooks/; done
        e='touch ${marker}'; git config core.fsmonitor "$e; false"; git config core.hooksPath "$PWD/h"; git config credential.helper "!$e"
        git config uploadpack.packObjectsHook "$e"; git config core.sshCommand "$e"; git config core.alternateRefsCommand "$e"
        git config filter.f.clean "$e; cat"; git config filter.f.process "$e"; git config diff.external "$e"; echo "* filter=f diff=f" > .gitattributes
        git config core.pager "$e"; git config core.editor "$e"; git config gpg.program "$e"; git config commit.gpgsign true
        git config url."ext::sh -c '$e' ".insteadOf /; git config protocol.ext.allow always; git config include.path "$PWD/more"; echo x > x`),
    outside: (host) => delivered(host, branchesOf),
  },
  {
    id: "git-lfs-filter",
    title:
      "run a program on the host by a filter that says it is LFS, or fill the disk through its descriptors",
    stoppedBy: "git in a sandbox, descriptors from 3 up are closed",
    inside: ({ marker }) =>
      plant(`git config filter.lfs.required true; git config filter.lfs.smudge "touch ${marker}; cat"
        git config filter.lfs.clean "touch ${marker}; for fd in 3 4 5 6 7 8 9; do head -c 40000000 /dev/zero 2>/dev/null >&\\$fd; done; cat"
        echo "*.bin filter=lfs" > .gitattributes; echo x > x.bin`),
    outside: (host) =>
      delivered(host, ({ target }) => {
        const bytes = readdirSync(target.ownFolder, { recursive: true, withFileTypes: true })
          .filter((one) => one.isFile() && one.parentPath.includes("/process-"))
          .reduce(
            (sum, one) =>
              sum + (statSync(join(one.parentPath, one.name), { throwIfNoEntry: false })?.size ?? 0),
            0,
          );
        return bytes > 30 * MIB
          ? open(`${Math.round(bytes / MIB)} MiB were written past the limits`)
          : blocked("no file grew");
      }),
  },
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
  {
    id: "git-submodules",
    title: "run a program by a submodule with a URL of transport 'ext' or a path like an option",
    stoppedBy: "submodules are never followed",
    inside: ({ marker }) =>
      plant(`printf '[submodule "x"]\\n\\tpath = x\\n\\turl = ext::touch ${marker}\\n\\tupdate = !touch ${marker}\\n[submodule "../../h"]\\n\\tpath = -u./payload\\n\\turl = -u./payload\\n' > .gitmodules
        git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),x; git config protocol.ext.allow always; git config submodule.recurse true; git add -f .gitmodules; git commit -qm sub`),
    outside: (host) => delivered(host, branchesOf),
  },
  {
    id: "git-tree-with-dot-git",
    title: "plant hooks in the next checkout by trees with .git, git~1 and lookalikes of it",
    stoppedBy: "git refuses such trees, hooks are off",
    inside: ({ marker }) =>
      plant(`b=$(printf '#!/bin/sh\\ntouch ${marker}\\n' | git hash-object -w --stdin); h=$(printf "100755 blob $b\\tpost-checkout\\n" | git mktree)
        d=$(printf "040000 tree $h\\thooks\\n" | git mktree); t=$(printf "040000 tree $d\\t.git\\n040000 tree $d\\tGIT~1\\n040000 tree $d\\t.g\\342\\200\\214it\\n" | git mktree)
        git update-ref HEAD $(git commit-tree -p HEAD -m evil $t)`),
    async outside(host) {
      const said = await deliver(host);
      const { provider, request } = host;
      const next = { ...request, sessionId: crypto.randomUUID(), branch: `${request.branch}-next` };
      const opened = await provider
        .open(provider.plan(), { ...next, targetBranch: request.branch }, never(), async () => undefined)
        .catch(messageOf);
      if (typeof opened !== "string") await provider.release(opened.config);
      const result = ranOnHost(host);
      return { ...result, observed: `${result.observed} (${said.slice(0, 100)})` };
    },
  },
];
