import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RepositoryError } from "../../../src/sandboxes/sandbox.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never } from "../fixture.ts";
import { openSubmoduleHosts, TOKENS } from "./submodule-hosts.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

const GONE = "0123456789012345678901234567890123456789";
let hosts: Awaited<ReturnType<typeof openSubmoduleHosts>>;
beforeAll(async () => {
  hosts = await openSubmoduleHosts();
});
afterAll(() => hosts.close());

const basic = (token: string) => `Basic ${Buffer.from(`x-access-token:${token}`).toString("base64")}`;
const missing = (path: string, why: string) =>
  `The submodule ${JSON.stringify(path)} is not in the checkout: ${why}`;

test("submodules of known hosts are fetched: relative, absolute, over SSH's address, nested, each with its own host's credential", async () => {
  const { servers, fixture, make } = hosts;
  const deep = await make("github", "octo/deep.git", { "deep.txt": "deep" });
  const lib = await make("github", "octo/lib.git", { "lib.txt": "lib" }, [
    { path: "in/deep", commit: deep, url: "../deep.git" },
  ]);
  const far = await make("gitea", "team/far.git", { "far.txt": "far" });
  const main = [
    { path: "my libs/it's one", commit: lib, url: "../lib.git" },
    { path: "far", commit: far, url: `${servers.gitea.url}/team/far.git` },
    { path: "ssh", commit: deep, url: "git@127.0.0.1:octo/deep.git" },
  ];
  await make("github", "octo/main.git", { "README.md": "main" }, main);
  const used: string[] = [];
  const request = fixture.request("octo/main", {
    useSecret: async (secret, host) => void used.push(`${secret} ${host}`),
  });
  const sandbox = await fixture.open(request);
  expect(sandbox.notices).toEqual([]);
  const shown = await fixture.run(
    sandbox,
    `cat "my libs/it's one/lib.txt" "my libs/it's one/in/deep/deep.txt" far/far.txt ssh/deep.txt; echo
     git status --porcelain; git -C far rev-parse HEAD; git -C far branch --show-current; git -C far remote get-url origin
     git -C far fsck 2>&1 && cd far && echo x > own && git add own && git commit -qm own && git rev-list --count HEAD; env; cat .git/config`,
  );
  const url = `${servers.gitea.url}/team/far.git`;
  expect(shown.out).toStartWith(`libdeepfardeep\n${far}\n${url}\n2\n`);
  for (const token of Object.values(TOKENS)) expect(shown.out).not.toContain(token);
  for (const at of ["github", "gitea"] as const) {
    const sent = servers[at].authorizations.filter((one) => one !== null);
    expect(sent.length).toBeGreaterThan(0);
    expect(new Set(sent)).toEqual(new Set([basic(TOKENS[at])]));
  }
  expect(used).toContain(`FORGES ${new URL(servers.gitea.url).host}`);

  // The next prompt has them already: no host but the repository's own is asked.
  const before = servers.gitea.authorizations.length;
  const next = await fixture.open(request);
  expect((await fixture.run(next, "cat far/far.txt")).out).toBe("far");
  expect(servers.gitea.authorizations.length).toBe(before);
  // Another session asks whether it may have them.
  await fixture.open(fixture.request("octo/main"));
  expect(servers.gitea.authorizations.length).toBeGreaterThan(before);
});

test("an unknown host is named, and not asked; nor does anything else that cannot be fetched fail the run", async () => {
  const { servers, fixture, make } = hosts;
  const free = await make("other", "x/free.git", { "free.txt": "free" });
  const lib = await make("github", "octo/lib2.git", { "lib.txt": "lib" });
  const asked = servers.other.authorizations.length;
  await make("github", "octo/named.git", { "README.md": "named" }, [
    { path: "free", commit: free, url: `${servers.other.url}/x/free.git` },
    { path: "gone", commit: GONE, url: "../lib2.git" },
    { path: "nowhere", commit: GONE, url: "../nothing-here.git" },
    { path: "out", commit: GONE, url: "../../../etc" },
    { path: "program", commit: GONE, url: "ext::sh -c touch% /tmp/never" },
    { path: "path", commit: GONE, url: fixture.repository.path },
    { path: "unnamed", commit: GONE },
    { path: "lib", commit: lib, url: "../lib2.git" },
  ]);
  const sandbox = await fixture.open(fixture.request("octo/named"));
  const host = new URL(servers.other.url).host;
  expect(sandbox.notices.toSorted()).toEqual(
    [
      missing(
        "free",
        `its host ${host} is neither the repository's own nor one of FORGES, where whoever runs the service can list it.`,
      ),
      missing("gone", `its commit 012345678901 is not in ${servers.github.url}/octo/lib2.git.`),
      missing(
        "nowhere",
        `The repository ${servers.github.url}/octo/nothing-here.git does not exist, or GITHUB_TOKEN may not read it.`,
      ),
      missing("out", "its URL leads out of the host of the repository."),
      missing("path", "its URL is a path of the machine that runs the service."),
      missing("program", "its URL is not an https URL."),
      missing("unnamed", "it has no URL in .gitmodules."),
    ].toSorted(),
  );
  expect(servers.other.authorizations.length).toBe(asked);
  const empty = ["free", "gone", "nowhere", "out", "program", "path", "unnamed"];
  const { out } = await fixture.run(sandbox, `cat lib/lib.txt; find ${empty.join(" ")} -mindepth 1 | wc -l`);
  expect(out).toBe("lib0");
  expect(await sandbox.deliverWork("x", new AbortController().signal)).toMatchObject({
    commits: 0,
    notices: [],
  });
});

test("a host that is the repository's own is known without being configured", async () => {
  const { servers, fixture, make } = hosts;
  const lib = await make("other", "y/lib.git", { "lib.txt": "lib" });
  const link = { path: "lib", commit: lib, url: "../lib.git" };
  await make("other", "y/main.git", { "README.md": "main" }, [link]);
  const before = servers.other.authorizations.length;
  const sandbox = await fixture.open(fixture.request(`${servers.other.url}/y/main.git`));
  expect((await fixture.run(sandbox, "cat lib/lib.txt")).out).toBe("lib");
  expect(servers.other.authorizations.slice(before).filter(Boolean)).toEqual([]);
});

test("a host that gives only what has a name is asked for the branch of the submodule", async () => {
  const { servers, fixture, make, bare } = hosts;
  // Without protocol 2, git asks for nothing that the host has not listed.
  const old = Bun.serve({
    ...{ port: 0, hostname: "127.0.0.1" },
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      request.headers.delete("git-protocol");
      const { method, headers } = request;
      return fetch(`${servers.other.url}${pathname}${search}`, {
        method,
        headers,
        body: await request.bytes(),
      });
    },
  });
  try {
    const lib = await make("other", "o/lib.git", { "lib.txt": "lib" });
    const at = bare("other", "o/lib.git");
    const commit = async (parent: string) =>
      (
        await Bun.$`git -C ${at} -c user.name=x -c user.email=x@x commit-tree -p ${parent} -m ${crypto.randomUUID()} main^{tree}`.text()
      ).trim();
    const between = await commit(lib);
    await Bun.$`git -C ${at} branch side ${await commit(between)}`.quiet();
    const links = [
      { path: "first", commit: lib, url: "../lib.git" },
      { path: "between", commit: between, url: "../lib.git\n\tbranch = side" },
      { path: "lost", commit: between, url: "../lib.git\n\tbranch = no..name" },
    ];
    await Bun.$`git -C ${at} update-ref refs/heads/main ${await commit(lib)}`.quiet();
    await make("other", "o/main.git", { a: "a" }, links);
    const sandbox = await fixture.open(fixture.request(`http://127.0.0.1:${old.port}/o/main.git`));
    expect(sandbox.notices).toEqual([]);
    const { out } = await fixture.run(
      sandbox,
      "cat first/lib.txt between/lib.txt; git -C between log --format=%H",
    );
    expect(out).toBe(`liblib${between}\n${lib}`);
  } finally {
    await old.stop(true);
  }
});

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

test("a repository that is its own submodule ends, and so do very many", async () => {
  const { fixture, make } = hosts;
  const lib = await make("github", "octo/lib5.git", { "lib.txt": "lib" });
  // Each is one deeper: a commit cannot name itself.
  let commit = lib;
  for (const name of ["c4", "c3", "c2", "c1"])
    commit = await make("github", `octo/${name}.git`, { [name]: name }, [
      { path: "n", commit, url: name === "c4" ? "../lib5.git" : `../c${Number(name[1]) + 1}.git` },
    ]);
  await make("github", "octo/chain.git", { a: "a" }, [{ path: "n", commit, url: "../c1.git" }]);
  const deep = await fixture.open(fixture.request("octo/chain"));
  expect(deep.notices).toEqual([missing("n/n/n/n", "submodules are fetched 3 deep at most.")]);
  expect((await fixture.run(deep, "cat n/c1 n/n/c2 n/n/n/c3; ls n/n/n/n | wc -l")).out).toBe("c1c2c30");

  const many = Array.from({ length: 52 }, (_, index) => ({ path: `n${index + 10}`, commit: GONE }));
  await make("github", "octo/many.git", { a: "a" }, many);
  const wide = await fixture.open(fixture.request("octo/many"));
  expect(wide.notices.slice(49)).toEqual([
    missing("n59", "it has no URL in .gitmodules."),
    missing("n60", "at most 50 submodules of a checkout are fetched."),
    missing("n61", "at most 50 submodules of a checkout are fetched."),
  ]);
});

test("all of them together are as large as a repository may be", async () => {
  const small = await openSubmoduleHosts({ REPO_MAX_FILES: "12" });
  try {
    const lib = await small.make("github", "octo/lib.git", { a: "a", b: "b", c: "c", d: "d" });
    const links = ["one", "two", "three"].map((path) => ({ path, commit: lib, url: "../lib.git" }));
    await small.make("github", "octo/main.git", { a: "a" }, links);
    const sandbox = await small.fixture.open(small.fixture.request("octo/main"));
    const why = "the checkout would be too large with it (REPO_MAX_FILES, REPO_MAX_MB).";
    expect(sandbox.notices).toEqual([missing("three", why), missing("two", why)]);
  } finally {
    await small.close();
  }
});
