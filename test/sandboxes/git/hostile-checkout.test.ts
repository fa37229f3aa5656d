import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { describeSandboxes } from "../describe-sandboxes.ts";
import { never } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** What an agent leaves in its checkout, and the files that must arrive nevertheless. */
const ATTACKS: readonly [title: string, script: string][] = [
  [
    // S5: the filter's output went into the bundle, without a limit.
    "a filter that writes to the packing script's descriptors",
    `echo '* filter=x' > .gitattributes
     git config filter.x.clean 'sh -c "for fd in 3 4 5 6 7 8 9; do eval \\"echo garbage >&\\$fd\\" 2>/dev/null; done; cat"'`,
  ],
  [
    "hooks, a file system monitor and programs in the configuration that fail",
    `mkdir -p .git/hooks
     for hook in pre-commit commit-msg post-commit post-index-change reference-transaction; do
       printf '#!/bin/sh\\nexit 1\\n' > .git/hooks/$hook; chmod +x .git/hooks/$hook
     done
     git config core.fsmonitor 'sh -c "exit 1"'
     git config core.sshCommand false; git config gpg.program false; git config commit.gpgSign true
     printf '[core]\\n\\thooksPath = .git/hooks\\n' > .git/more; git config include.path more`,
  ],
  [
    "a FIFO, a socket's name, and links to elsewhere",
    "mkfifo pipe; mknod device c 1 3 2>/dev/null; ln -s /etc/shadow shadow; ln -s /proc/self/root root; ln -s . loop",
  ],
  [
    "replace refs and grafts",
    `head=$(git rev-parse HEAD); tree=$(git rev-parse 'HEAD^{tree}')
     git replace $head $(git commit-tree -m evil $tree) ; mkdir -p .git/info; echo $head > .git/info/grafts`,
  ],
  [
    "an alternate that does not exist",
    "mkdir -p .git/objects/info; echo /nowhere/objects > .git/objects/info/alternates",
  ],
  [
    "a submodule whose URL is a command",
    `printf '[submodule "x"]\\n\\tpath = x\\n\\turl = ext::sh -c false\\n' > .gitmodules
     git config protocol.ext.allow always; git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),x`,
  ],
  [
    "refs that are named like options",
    "git update-ref refs/heads/--all HEAD; git update-ref refs/bundled/x HEAD; git tag -- v1",
  ],
];

await describeSandboxes((setup) => {
  test.each(ATTACKS)("%s: the work arrives, and nothing else", async (_, script) => {
    const { fixture, repo } = setup();
    const request = fixture.request(repo.path, { branch: `prompt/${crypto.randomUUID()}` });
    const sandbox = await fixture.open(request);
    await fixture.run(sandbox, `${script}\necho work > work`);
    const work = await sandbox.deliverWork("work", never);
    expect(work).toMatchObject({ commits: 1, push: { pushed: true } });
    expect(await repo.git("show", `${request.branch}:work`)).toBe("work\n");
    // A link is stored as where it points to, never as what is there.
    expect(await repo.git("show", `${request.branch}:shadow`).catch(() => "/etc/shadow")).toBe("/etc/shadow");
    const refs = await repo.git("for-each-ref", "--format=%(refname)");
    expect(refs.split("\n").filter((one) => !/^refs\/heads\/(main|prompt\/[\w-]+)$|^$/.test(one))).toEqual(
      [],
    );
  });

  test("a .git that is a file or a link to another repository is reported, or is the sandbox's own", async () => {
    const { fixture, repo } = setup();
    const before = await repo.git("show-ref");
    for (const script of [
      `rm -rf .git; echo "gitdir: ${join(fixture.dataDir, "repos")}" > .git`,
      `rm -rf .git; ln -s ${join(fixture.dataDir, "repos")} .git`,
    ]) {
      const sandbox = await fixture.open(fixture.request(repo.path, { branch: "prompt/elsewhere" }));
      await fixture.run(sandbox, `${script}; echo x > x`);
      await expect(sandbox.deliverWork("x", never)).rejects.toThrow("no usable git repository");
    }
    expect(await repo.git("show-ref")).toBe(before);
  });

  test("a bundle with a folder .GIT in it is refused: git itself does not check the objects of a bundle", async () => {
    const { fixture, repo } = setup();
    const request = fixture.request(repo.path, { branch: "prompt/dotgit" });
    const sandbox = await fixture.open(request);
    await fixture.run(
      sandbox,
      `blob=$(git hash-object -w README.md)
       inner=$(printf '100644 blob %s\\tconfig\\n' $blob | git mktree)
       tree=$(printf '040000 tree %s\\t.GIT\\n' $inner | git mktree)
       git update-ref HEAD $(git commit-tree -p HEAD -m evil $tree); git read-tree HEAD`,
    );
    await expect(sandbox.deliverWork("x", never)).rejects.toThrow("could not be imported");
    expect(await repo.branches()).not.toContain("prompt/dotgit");
  });
});
