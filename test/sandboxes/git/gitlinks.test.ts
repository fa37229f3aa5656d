import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { SLOW_TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never } from "../fixture.ts";
import { openSubmoduleHosts } from "./submodule-hosts.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

let hosts: Awaited<ReturnType<typeof openSubmoduleHosts>>;
let lib: string;
beforeAll(async () => {
  hosts = await openSubmoduleHosts();
  lib = await hosts.make("github", "octo/lib.git", { "lib.txt": "lib" });
  const link = { path: "my lib", commit: lib, url: "../lib.git" };
  await hosts.make("github", "octo/main.git", { "README.md": "main" }, [link]);
});
afterAll(() => hosts.close());

/** What a script in a new checkout leaves behind, once it is delivered. */
async function delivered(script: string, message = "left over") {
  const { fixture, bare } = hosts;
  const branch = `prompt/s-${crypto.randomUUID()}`;
  const request = fixture.request("octo/main", { branch });
  const sandbox = await fixture.open(request);
  const { code, stderr } = await fixture.run(sandbox, `set -e; ${script}`);
  expect([code, stderr]).toEqual([0, ""]);
  const work = await sandbox.deliverWork(message, never);
  const git = async (...args: string[]) =>
    (await Bun.$`git -C ${bare("github", "octo/main.git")} ${args}`.nothrow().quiet().text()).trim();
  const linkOf = async (path = "my lib") => (await git("ls-tree", branch, path)).split(/\s/)[2] ?? "";
  return { ...{ work, branch, request, sandbox, git, linkOf } };
}

const commit = "git -c user.name=x -c user.email=x@x commit -q";

test("a submodule at a commit that only the sandbox has stays where it was; the rest of the work is delivered, and it is said", async () => {
  const { work, linkOf, git, branch, sandbox } = await delivered(
    `echo new > 'my lib/new'; (cd 'my lib' && git add new && ${commit} -m own); git add 'my lib'; ${commit} -m moved; echo work > work`,
  );
  expect(work).toMatchObject({ commits: 3, push: { pushed: true } });
  expect(work.notices).toEqual([
    expect.stringMatching(
      /^The submodule "my lib" stays where it was, because nobody else could get the commit [0-9a-f]{12}: its commit [0-9a-f]{12} is not in http.*\/octo\/lib\.git\. Push it there first\.$/,
    ),
  ]);
  expect(await linkOf()).toBe(lib);
  expect(await git("show", `${branch}:work`)).toBe("work");
  expect(await git("log", "--format=%s", "-2", branch)).toBe(
    "Put back submodules that only the sandbox has\nleft over",
  );
  // As after a crash: the same commits again.
  const again = await sandbox.deliverWork("left over", never);
  expect(again).toMatchObject({ commit: work.commit, push: { pushed: true } });
});

test.each(["git add 'my lib'", `git add 'my lib'; ${commit} -m moved`, "true"])(
  "nothing is left of a work that is in a submodule only (%s)",
  async (then) => {
    const { work, git, branch } = await delivered(
      `echo new > 'my lib/new'; (cd 'my lib' && git add new && ${commit} -m own); ${then}`,
    );
    expect(work).toMatchObject({ commits: 0, push: { pushed: false, reason: "nothing changed" } });
    expect(work.notices).toHaveLength(1);
    expect(await git("branch", "--list", branch)).toBe("");
  },
);

test("what is not committed in a submodule is said, and the next checkout has the submodule anew", async () => {
  const { work, linkOf, request } = await delivered(
    "echo dirty >> 'my lib/lib.txt'; echo more > 'my lib/more'; echo work > work",
  );
  expect(work).toMatchObject({ commits: 1, push: { pushed: true } });
  expect(work.notices).toEqual([
    'Changes in the submodule "my lib" that no commit of the work has are left out.',
  ]);
  expect(await linkOf()).toBe(lib);
  const { fixture } = hosts;
  const next = await fixture.open(request);
  expect((await fixture.run(next, "ls 'my lib'; cat work")).out).toBe("lib.txt\nwork");
});

test("a submodule may be moved to a commit of its source, a new one added, and one removed", async () => {
  const { bare } = hosts;
  const at = bare("github", "octo/lib.git");
  const newer = (
    await Bun.$`git -C ${at} -c user.name=x -c user.email=x@x commit-tree -p ${lib} -m newer main^{tree}`.text()
  ).trim();
  await Bun.$`git -C ${at} branch newer ${newer}`.quiet();
  const { work, linkOf, request } = await delivered(
    `git update-index --add --cacheinfo "160000,${newer},my lib" --cacheinfo "160000,${lib},second"; mkdir second
     git config -f .gitmodules submodule.two.path second; git config -f .gitmodules submodule.two.url ../lib.git`,
  );
  // Its folder still has the older commit.
  expect(work.notices).toEqual([
    'Changes in the submodule "my lib" that no commit of the work has are left out.',
  ]);
  expect(work).toMatchObject({ commits: 1, push: { pushed: true } });
  expect([await linkOf(), await linkOf("second")]).toEqual([newer, lib]);
  const { fixture } = hosts;
  const next = await fixture.open(request);
  const { out } = await fixture.run(next, "git -C 'my lib' rev-parse HEAD; cat second/lib.txt");
  expect(out).toBe(`${newer}\nlib`);

  const removed = await delivered("git rm -q --cached 'my lib'; rm -rf 'my lib'; : > .gitmodules");
  expect(removed.work).toMatchObject({ commits: 1, notices: [] });
  expect(await removed.linkOf()).toBe("");
  const gone = await delivered("rm -rf 'my lib'; : > .gitmodules");
  expect(gone.work).toMatchObject({ commits: 1, notices: [] });
  expect(await gone.linkOf()).toBe("");
});

test("whether others can get a submodule of an unknown host is not known, and said; its commit stays in the work", async () => {
  const { servers } = hosts;
  const { work, linkOf } = await delivered(
    `git update-index --add --cacheinfo "160000,${lib},free"; mkdir free
     git config -f .gitmodules submodule.free.path free; git config -f .gitmodules submodule.free.url ${servers.other.url}/x
     git add .gitmodules; ${commit} -m free`,
  );
  expect(work.notices).toEqual([
    expect.stringContaining(
      `The branch has the submodule "free" at ${lib.slice(0, 12)}. Whether others can get this commit was not checked: its host`,
    ),
  ]);
  expect(await linkOf("free")).toBe(lib);
  expect(servers.other.authorizations).toEqual([]);
});

test("a repository that an agent makes in the checkout is no part of the branch, and that is said", async () => {
  const { work, git, branch } = await delivered(
    `mkdir 'a "b"'; cd 'a "b"'; git init -q; echo x > x; git add x; ${commit} -m own; cd ..; echo work > work`,
  );
  expect(work.notices).toEqual([
    '"a \\"b\\"" is a git repository of its own, which .gitmodules does not name: the branch does not have it.',
  ]);
  expect(await git("ls-tree", "--name-only", branch)).toBe(".gitmodules\nREADME.md\nmy lib\nwork");
});

test("an agent cannot reach the service's copies through a submodule, nor make it run anything", async () => {
  const { fixture } = hosts;
  const proof = join(fixture.dataDir, "proof");
  const { work, request } = await delivered(
    `cd 'my lib'; git config core.fsmonitor 'touch ${proof}'; printf '#!/bin/sh\\ntouch ${proof}\\n' > .git/hooks/post-checkout
     chmod +x .git/hooks/post-checkout; rm -rf .git/objects; ln -s /git/store/objects .git/objects; cd ..; echo work > work`,
  );
  expect(work).toMatchObject({ commits: 1, push: { pushed: true } });
  expect(await Bun.file(proof).exists()).toBe(false);
  const next = await fixture.open(request);
  expect((await fixture.run(next, "cat 'my lib/lib.txt'; git -C 'my lib' fsck 2>&1")).out).toBe("lib");
});
