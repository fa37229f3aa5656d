import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { SLOW_TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { missing, openSubmoduleHosts, TOKENS } from "./submodule-hosts.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

const GONE = "0123456789012345678901234567890123456789";
let hosts: Awaited<ReturnType<typeof openSubmoduleHosts>>;
beforeAll(async () => {
  hosts = await openSubmoduleHosts();
});
afterAll(() => hosts.close());

const basic = (token: string) => `Basic ${Buffer.from(`x-access-token:${token}`).toString("base64")}`;

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
