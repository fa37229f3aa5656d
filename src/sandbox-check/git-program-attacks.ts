import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../shared/errors.ts";
import { MIB } from "../shared/units.ts";
import { type Attack, all, blocked, open } from "./attack.ts";
import { branchesOf, deliver, delivered, plant, ranOnHost } from "./git-delivery.ts";

const never = () => new AbortController().signal;

const HOOKS =
  "pre-push pre-commit post-commit reference-transaction post-index-change post-checkout pre-receive update post-update";

/** Programs that git would start on the host, because the checkout says so. */
export const GIT_PROGRAM_ATTACKS: readonly Attack[] = [
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
    title: "run a program on the host by a filter like that of LFS, or fill the disk through its descriptors",
    stoppedBy: "git in a sandbox, descriptors from 3 up are closed",
    inside: ({ marker }) =>
      plant(`git config filter.large.required true; git config filter.large.smudge "touch ${marker}; cat"
        git config filter.large.clean "touch ${marker}; for fd in 3 4 5 6 7 8 9; do head -c 40000000 /dev/zero 2>/dev/null >&\\$fd; done; cat"
        echo "*.bin filter=large" > .gitattributes; echo x > x.bin`),
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
    id: "git-submodules",
    title: "run a program by a submodule with a URL of transport 'ext' or a path like an option",
    stoppedBy: "only https URLs of known hosts are followed, and by the service alone",
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
