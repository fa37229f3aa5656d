import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RepositoryError } from "../../../src/sandboxes/sandbox.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never } from "../fixture.ts";
import { missing, openSubmoduleHosts } from "./submodule-hosts.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

let hosts: Awaited<ReturnType<typeof openSubmoduleHosts>>;
beforeAll(async () => {
  hosts = await openSubmoduleHosts();
});
afterAll(() => hosts.close());

test("what a hostile repository says in .gitmodules runs nothing, and its links lead nowhere", async () => {
  const { fixture, make } = hosts;
  const proof = join(tmpdir(), `pb-proof-${crypto.randomUUID()}`);
  const lib = await make("github", "octo/lib3.git", { "lib.txt": "lib" });
  const link = { path: "lib", commit: lib, url: "../lib3.git" };
  await make("github", "octo/update.git", { a: "a" }, [link], `\tupdate = !touch ${proof}\n`);
  await expect(fixture.open(fixture.request("octo/update"))).rejects.toBeInstanceOf(RepositoryError);

  await make("github", "octo/include.git", { a: "a" }, [link], `[include]\n\tpath = /etc/passwd\n`);
  const included = await fixture.open(fixture.request("octo/include"));
  expect(included.notices).toEqual([]);

  // A name is a folder of .git/modules to git, and a path may not be what the tree does not say.
  const more = `[submodule "../../../x"]\n\tpath = ../../x\n\turl = ../lib3.git\n`;
  await make("github", "octo/names.git", { a: "a" }, [{ path: "lib", commit: lib }], more);
  await expect(fixture.open(fixture.request("octo/names"))).rejects.toBeInstanceOf(RepositoryError);
  const lies = `[submodule "x"]\n\tpath = ../../x\n\turl = ../lib3.git\n`;
  await make("github", "octo/lies.git", { a: "a" }, [{ path: "lib", commit: lib }], lies);
  const lied = await fixture.open(fixture.request("octo/lies"));
  expect(lied.notices).toEqual([missing("lib", "it has no URL in .gitmodules.")]);
  expect(existsSync(proof)).toBe(false);
});

test("a repository whose submodules are behind a link, or at a path that git forbids, is refused when it is fetched", async () => {
  const { fixture, make, bare } = hosts;
  const lib = await make("github", "octo/lib4.git", { "lib.txt": "lib" });
  await make("github", "octo/paths.git", { a: "a" });
  const git = (...args: string[]) => Bun.$`git -C ${bare("github", "octo/paths.git")} ${args}`.quiet().text();
  const tree = async (text: string) =>
    (
      await Bun.$`git -C ${bare("github", "octo/paths.git")} mktree --missing < ${Buffer.from(text)}`
        .quiet()
        .text()
    ).trim();
  const target = (
    await Bun.$`git -C ${bare("github", "octo/paths.git")} hash-object -w --stdin < ${Buffer.from("/tmp")}`
      .quiet()
      .text()
  ).trim();
  const inner = await tree(`160000 commit ${lib}\tb\n`);
  const trees = {
    link: `120000 blob ${target}\ta\n040000 tree ${inner}\ta\n`,
    dots: `040000 tree ${inner}\t..\n`,
    git: `160000 commit ${lib}\t.git\n`,
    inGit: `040000 tree ${inner}\t.GIT\n`,
  };
  for (const [name, text] of Object.entries(trees)) {
    const commit = (
      await git("-c", "user.name=x", "-c", "user.email=x@x", "commit-tree", "-m", name, await tree(text))
    ).trim();
    await git("branch", name, commit);
    const opened = fixture.open(fixture.request("octo/paths", { targetBranch: name }));
    await expect(opened).rejects.toBeInstanceOf(RepositoryError);
  }
});

test("what sessions have in the service's copy of a repository does not come out as its submodule", async () => {
  const { fixture, make, bare } = hosts;
  await make("github", "octo/lib6.git", { "lib.txt": "lib" });
  await writeFile(join(bare("github", "octo/lib6.git"), "hooks/pre-receive"), "#!/bin/sh\nexit 1\n", {
    mode: 0o755,
  });
  const owner = await fixture.open(fixture.request("octo/lib6"));
  await fixture.run(owner, "echo secret > secret.txt");
  const work = await owner.deliverWork("kept", never);
  expect(work.push).toMatchObject({ pushed: false });

  await make("github", "octo/thief.git", { a: "a" }, [
    { path: "lib", commit: work.commit, url: "../lib6.git" },
  ]);
  const sandbox = await fixture.open(fixture.request("octo/thief"));
  expect(sandbox.notices).toEqual([
    missing(
      "lib",
      `its commit ${work.commit.slice(0, 12)} is not in ${hosts.servers.github.url}/octo/lib6.git.`,
    ),
  ]);
  expect((await fixture.run(sandbox, "ls lib | wc -l")).out).toBe("0");
});

test("a private address is refused as for any repository", async () => {
  const closed = await openSubmoduleHosts({ PRIVATE_GIT_HOSTS: "localhost" });
  try {
    const { servers, fixture, make } = closed;
    const lib = await make("gitea", "z/lib.git", { "lib.txt": "lib" });
    const url = `${servers.gitea.url}/z/lib.git`;
    await make("other", "z/main.git", { a: "a" }, [{ path: "lib", commit: lib, url }]);
    const own = servers.other.url.replace("127.0.0.1", "localhost");
    const sandbox = await fixture.open(fixture.request(`${own}/z/main.git`));
    expect(sandbox.notices).toEqual([
      missing(
        "lib",
        `The host of ${url} is at a private address; whoever runs the service can list it in PRIVATE_GIT_HOSTS.`,
      ),
    ]);
    expect(servers.gitea.authorizations).toEqual([]);
  } finally {
    await closed.close();
  }
});
