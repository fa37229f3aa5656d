import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { oidOf, pointerTo, startLfsStandIn } from "../../harness/lfs-stand-in.ts";
import { makeRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";
import { startGitServer } from "./git-server.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const TOKEN = "gitea-lfs0123456789";
const ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n";
const root = mkdtempSync(join(tmpdir(), "pb-lfs-"));
const lfs = startLfsStandIn();
const server = startGitServer({ root, password: TOKEN, lfs: (request) => lfs.answer(request) });
const url = `http://git.localhost:${server.port}`;
let fixture: SandboxFixture;
let made = 0;

/** A repository on the host. */
async function hosted(files: Record<string, string>) {
  made += 1;
  const name = `octo/r${made}`;
  const source = await makeRepository({ files });
  await Bun.$`git clone -q --bare ${source.path} ${join(root, `${name}.git`)}`.quiet();
  await source.remove();
  const bare = join(root, `${name}.git`);
  return {
    url: `${url}/${name}`,
    /** What is committed for a file on a branch. */
    committed: (branch: string, path: string) => Bun.$`git -C ${bare} show ${`${branch}:${path}`}`.text(),
  };
}

beforeAll(async () => {
  fixture = await openSandboxFixture({
    env: {
      FORGES: JSON.stringify([{ host: url, kind: "gitea", token: TOKEN }]),
      PRIVATE_GIT_HOSTS: `git.localhost:${server.port},objects.localhost:${lfs.port}`,
      REPO_MAX_MB: "2",
    },
  });
});
afterAll(async () => {
  await fixture.remove();
  server.stop();
  lfs.stop();
  await rm(root, { recursive: true, force: true });
});

test("a checkout has the contents, and the host's credential goes to the host alone", async () => {
  const repository = await hosted({
    ".gitattributes": ATTRIBUTES,
    "a.bin": lfs.keep("the contents of a\n"),
    "deep/b c.bin": lfs.keep("the contents of b\n"),
    "plain.txt": "text\n",
  });
  const sandbox = await fixture.open(fixture.request(repository.url));
  const { out } = await fixture.run(
    sandbox,
    "cat a.bin 'deep/b c.bin' plain.txt; git status --short; env; cat .git/config",
  );
  expect(out).toStartWith("the contents of a\nthe contents of b\ntext\n");
  expect(out).not.toContain("??");
  expect(out).not.toContain(TOKEN);
  expect(sandbox.notices).toEqual([]);
  const [sent] = lfs.exchanges.slice(-1);
  expect(sent?.request).toMatchObject({ operation: "download" });
  expect(sent?.request.objects).toHaveLength(2);
  expect(lfs.stored.length).toBeGreaterThan(0);
  for (const one of lfs.stored)
    expect(one).toEqual({ method: one.method, authorization: null, allowed: true });
});

test("an object that the host does not have is named, and so is one that is too large; the run goes on with their pointers", async () => {
  const large = "x".repeat(3 * 1024 * 1024);
  const repository = await hosted({
    ".gitattributes": ATTRIBUTES,
    "a.bin": lfs.keep("here\n"),
    "large.bin": lfs.keep(large),
    "lost.bin": pointerTo("never uploaded\n"),
  });
  const sandbox = await fixture.open(fixture.request(repository.url));
  const { out } = await fixture.run(sandbox, "cat a.bin lost.bin large.bin");
  expect(out).toBe(`here\n${pointerTo("never uploaded\n")}${pointerTo(large).trimEnd()}`);
  expect(sandbox.notices).toEqual([
    expect.stringMatching(
      /^The checkout has a pointer instead of 1 file of Git LFS \("large.bin"\): .*REPO_MAX_MB/,
    ),
    expect.stringMatching(
      /^The checkout has a pointer instead of 1 file of Git LFS \("lost.bin"\): .*does not exist/,
    ),
  ]);
  // What is a pointer in the checkout stays one.
  await fixture.run(sandbox, "touch lost.bin large.bin; echo 1 > new.txt");
  const work = await sandbox.deliverWork("work", never);
  expect(work).toMatchObject({ push: { pushed: true }, notices: [] });
  expect(await repository.committed("prompt/one", "lost.bin")).toBe(pointerTo("never uploaded\n"));
  expect(await repository.committed("prompt/one", "large.bin")).toBe(pointerTo(large));
});

test("what the agent adds and changes is uploaded before the branch is pushed; unchanged files stay pointers", async () => {
  const repository = await hosted({
    ".gitattributes": ATTRIBUTES,
    "same.bin": lfs.keep("the same\n"),
    "a.bin": lfs.keep("old\n"),
  });
  const sandbox = await fixture.open(fixture.request(repository.url));
  // Its own commit, and what it leaves uncommitted. Whatever it does to its configuration.
  const { code } = await fixture.run(
    sandbox,
    `echo new > a.bin && git commit -qam own && touch same.bin && echo added > "b c.bin" && git mv same.bin moved.bin &&
      git config --unset-all filter.lfs.clean && git config --unset-all filter.lfs.process`,
  );
  expect(code).toBe(0);
  const gone = lfs.exchanges.length;
  const { commit } = await sandbox.deliverWork("work", never);
  expect(commit).toMatch(/^[0-9a-f]{40}$/);
  expect(await repository.committed("prompt/one", "a.bin")).toBe(pointerTo("new\n"));
  expect(await repository.committed("prompt/one", "b c.bin")).toBe(pointerTo("added\n"));
  expect(await repository.committed("prompt/one", "moved.bin")).toBe(pointerTo("the same\n"));
  expect(Buffer.from(lfs.objects.get(oidOf("new\n")) ?? "").toString()).toBe("new\n");
  expect(Buffer.from(lfs.objects.get(oidOf("added\n")) ?? "").toString()).toBe("added\n");
  const uploads = lfs.exchanges.slice(gone).filter(({ request }) => request.operation === "upload");
  expect(uploads.flatMap(({ request }) => request.objects.map(({ oid }) => oid)).sort()).toEqual(
    [oidOf("new\n"), oidOf("added\n")].sort(),
  );
  for (const one of lfs.stored) expect(one).toMatchObject({ authorization: null, allowed: true });
});

test("while the host takes no objects, the branch is not pushed; what was made is kept, and goes with the next push", async () => {
  const repository = await hosted({ ".gitattributes": ATTRIBUTES });
  const request = fixture.request(repository.url);
  const sandbox = await fixture.open(request);
  await fixture.run(sandbox, "echo kept > a.bin");
  lfs.refusal = { status: 422, message: "out of storage" };
  try {
    const { push } = await sandbox.deliverWork("work", never);
    expect(push).toMatchObject({ pushed: false, reason: expect.stringContaining("out of storage") });
    await expect(repository.committed("prompt/one", "a.bin")).rejects.toThrow();
  } finally {
    lfs.refusal = undefined;
  }
  // The sandbox is gone by then.
  await fixture.provider.release(sandbox.config);
  expect(await fixture.provider.push(request, never)).toMatchObject({ push: { pushed: true } });
  expect(lfs.objects.has(oidOf("kept\n"))).toBe(true);
  expect(await repository.committed("prompt/one", "a.bin")).toBe(pointerTo("kept\n"));
});

test("a file that is committed plain, although .gitattributes gives it to Git LFS, stays so where nobody changes it", async () => {
  const odd = 'o "d[d]*\\\t\u00e9.bin';
  const files = { "plain.bin": "plain\n", [odd]: "odd\n", "deep/plain.bin": "deep\n" };
  const repository = await hosted({ ".gitattributes": ATTRIBUTES, ...files, "a.bin": lfs.keep("a\n") });
  const sandbox = await fixture.open(fixture.request(repository.url));
  const { out } = await fixture.run(
    sandbox,
    "cat a.bin; echo work > work.txt; git add --all; git status --short",
  );
  expect(out).toBe("a\nA  work.txt");
  const { push, notices } = await sandbox.deliverWork("work", never);
  expect(push).toMatchObject({ pushed: true });
  expect(notices).toEqual([]);
  for (const [path, text] of Object.entries(files))
    expect(await repository.committed("prompt/one", path)).toBe(text);
});

test("files that are plain in a commit of the agent's are named", async () => {
  const repository = await hosted({ ".gitattributes": ATTRIBUTES });
  const sandbox = await fixture.open(fixture.request(repository.url));
  await fixture.run(
    sandbox,
    "echo plain > a.bin && touch -d 2001-01-01 a.bin && git -c filter.lfs.clean=cat -c filter.lfs.process= add . && git commit -qm own",
  );
  const { push, notices } = await sandbox.deliverWork("work", never);
  expect(push).toMatchObject({ pushed: true });
  expect(notices).toEqual([
    '1 file of Git LFS ("a.bin") was committed as a plain file: git-lfs was not used where the commit was made.',
  ]);
});

test("what a repository says of servers and programs is not followed", async () => {
  const asked: string[] = [];
  const hostile = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      asked.push(request.url);
      return new Response("{}");
    },
  });
  const to = `http://objects.localhost:${hostile.port}`;
  const repository = await hosted({
    ".gitattributes": `${ATTRIBUTES}*.ext filter=lfs\n`,
    ".lfsconfig": `[lfs]\n\turl = ${to}\n\tpushurl = ${to}\n\tfetchexclude = *\n\tstandalonetransferagent = evil\n[lfs "customtransfer.evil"]\n\tpath = /workspace/evil.sh\n[lfs "extension.evil"]\n\tclean = /workspace/evil.sh\n\tsmudge = /workspace/evil.sh\n`,
    "evil.sh": "#!/bin/sh\ntouch /workspace/evil-was-here\n",
    "a.bin": lfs.keep("a in spite of it\n"),
    "b.ext": pointerTo("an extension\n").replace("\n", `\next-0-evil sha256:${"0".repeat(64)}\n`),
  });
  try {
    const sandbox = await fixture.open(fixture.request(repository.url));
    const { out } = await fixture.run(sandbox, "cat a.bin; ls; echo changed > a.bin");
    expect(out).toStartWith("a in spite of it\n");
    expect(out).not.toContain("evil-was-here");
    expect(await sandbox.deliverWork("work", never)).toMatchObject({ push: { pushed: true } });
    expect(lfs.objects.has(oidOf("changed\n"))).toBe(true);
    expect(asked).toEqual([]);
  } finally {
    await hostile.stop(true);
  }
});

test("a host that refers to a private address which is not listed leads nowhere", async () => {
  const asked: string[] = [];
  const inside = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      asked.push(request.url);
      return new Response("no");
    },
  });
  const usual = lfs.objectsUrl;
  try {
    for (const host of ["inside.localhost", "127.0.0.1", "192.0.2.2"]) {
      lfs.objectsUrl = `http://${host}:${inside.port}`;
      const repository = await hosted({
        ".gitattributes": ATTRIBUTES,
        "a.bin": lfs.keep(`${host} private\n`),
      });
      const sandbox = await fixture.open(fixture.request(repository.url));
      expect(sandbox.notices).toEqual([expect.stringContaining(`${host}:${inside.port}`)]);
      expect((await fixture.run(sandbox, "cat a.bin")).out).toStartWith("version https://git-lfs");
      expect(asked).toEqual([]);
    }
  } finally {
    lfs.objectsUrl = usual;
    await inside.stop(true);
  }
});
