import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { chmod, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FIRST_COMMIT } from "../../../src/sandboxes/git/first-commit.ts";
import type { CheckoutRequest } from "../../../src/sandboxes/sandbox.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";
import { startGitServer } from "./git-server.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const TOKEN = "ghp_empty0123456789";
const root = mkdtempSync(join(tmpdir(), "pb-empty-"));
const server = startGitServer({ root, password: TOKEN, isPublic: true });
let one: SandboxFixture;
let two: SandboxFixture;
let reader: SandboxFixture;
beforeAll(async () => {
  const host = { GITHUB_URL: server.url, PRIVATE_GIT_HOSTS: "127.0.0.1" };
  [one, two, reader] = await Promise.all([
    openSandboxFixture({ env: { ...host, GITHUB_TOKEN: TOKEN } }),
    openSandboxFixture({ env: { ...host, GITHUB_TOKEN: TOKEN } }),
    openSandboxFixture({ env: host }),
  ]);
});
afterAll(async () => {
  await Promise.all([one.remove(), two.remove(), reader.remove()]);
  server.stop();
  await rm(root, { recursive: true, force: true });
});

/** An empty repository of the host. @param format of its objects. */
async function makeEmpty(format = "sha1") {
  const path = `octo/${crypto.randomUUID()}`;
  const folder = join(root, `${path}.git`);
  await Bun.$`git init -q --bare --object-format=${format} --initial-branch=trunk ${folder}`.quiet();
  const git = (...args: string[]) => Bun.$`git -C ${folder} ${args}`.quiet().text();
  const branches = async () =>
    (await git("for-each-ref", "--format=%(refname:short)")).split("\n").filter(Boolean);
  return { repo: `${server.url}/${path}`, folder, git, branches };
}

/** Somebody else's commit, on no branch. */
async function commitOf(git: (...args: string[]) => Promise<string>): Promise<string> {
  const tree = (await git("hash-object", "-t", "tree", "-w", "/dev/null")).trim();
  const identity = ["-c", "user.name=x", "-c", "user.email=x@localhost"];
  return (await git(...identity, "commit-tree", tree, "-m", "Theirs")).trim();
}

async function deliver(fixture: SandboxFixture, request: CheckoutRequest, script: string) {
  const sandbox = await fixture.open(request);
  const { out } = await fixture.run(sandbox, script);
  return { out, work: await sandbox.deliverWork("work", never) };
}

test("two machines at once on an empty repository of a host: one first commit, and both branches", async () => {
  const { repo, git, branches } = await makeEmpty();
  const works = await Promise.all(
    [one, two].map((fixture, index) =>
      deliver(fixture, fixture.request(repo, { branch: `prompt/${index}` }), `echo ${index} > ${index}.txt`),
    ),
  );
  for (const { work } of works) expect(work).toMatchObject({ commits: 1, push: { pushed: true } });
  expect(await branches()).toEqual(["main", "prompt/0", "prompt/1"]);
  expect((await git("rev-parse", "main")).trim()).toBe(FIRST_COMMIT);
  expect((await git("merge-base", "prompt/0", "prompt/1")).trim()).toBe(FIRST_COMMIT);
});

test("without a credential nothing is pushed; another machine goes on, and pushes it when it has one", async () => {
  const { repo, git, branches } = await makeEmpty();
  const request = reader.request(repo);
  const { work } = await deliver(reader, request, "echo new > new.txt");
  expect(work.push).toMatchObject({ pushed: false, reason: expect.stringContaining("set GITHUB_TOKEN") });
  expect(await branches()).toEqual([]);
  const { read, fetch } = two.provider.repositoryFor(request);
  expect(await fetch(request, never)).toMatchObject({ base: FIRST_COMMIT, start: work.commit });
  expect(await read.isIn(FIRST_COMMIT, work.commit, never)).toBe(true);
  expect(await one.provider.push(request, never)).toMatchObject({ commits: 1, push: { pushed: true } });
  expect(await branches()).toEqual(["main", "prompt/one"]);
  expect((await git("rev-parse", "prompt/one")).trim()).toBe(work.commit);
});

test("what was kept goes on elsewhere also where the repository was begun otherwise meanwhile", async () => {
  const { repo, git, branches } = await makeEmpty();
  const request = reader.request(repo);
  const { work } = await deliver(reader, request, "echo new > new.txt");
  await git("update-ref", "refs/heads/main", await commitOf(git));
  const next = await deliver(one, request, "cat new.txt; echo more > more.txt");
  expect(next.out).toBe("new");
  expect(next.work).toMatchObject({
    ...{ start: work.commit },
    push: { pushed: false, reason: expect.stringContaining("was empty when this work began") },
  });
  expect(await branches()).toEqual(["main"]);
});

test("a first commit of somebody else that reaches the host at the same moment is found", async () => {
  const { repo, folder, git, branches } = await makeEmpty();
  const theirs = await commitOf(git);
  const hook = join(folder, "hooks/pre-receive");
  const script = `rm "$0"; unset GIT_QUARANTINE_PATH; git update-ref refs/heads/main ${theirs}`;
  await Bun.write(hook, `#!/bin/sh\n${script}\n`);
  await chmod(hook, 0o755);
  const { work } = await deliver(one, one.request(repo), "echo new > new.txt");
  expect(work.push).toMatchObject({
    pushed: false,
    reason: expect.stringContaining("was empty when this work began"),
  });
  expect(await branches()).toEqual(["main"]);
  expect((await git("rev-parse", "main")).trim()).toBe(theirs);
});

test("a host that refuses the target branch gets no branch of a session either, until it takes it", async () => {
  const { repo, folder, branches } = await makeEmpty();
  const hook = join(folder, "hooks/update");
  await Bun.write(hook, '#!/bin/sh\n[ "$1" != refs/heads/main ] || { echo "main is closed" >&2; exit 1; }\n');
  await chmod(hook, 0o755);
  const request = one.request(repo);
  const { work } = await deliver(one, request, "echo new > new.txt");
  expect(work.push).toMatchObject({ pushed: false, reason: expect.stringContaining("main is closed") });
  expect(await branches()).toEqual([]);
  await rm(hook);
  expect(await one.provider.push(request, never)).toMatchObject({ push: { pushed: true } });
  expect(await branches()).toEqual(["main", "prompt/one"]);
});

test("of an empty repository with SHA-256 it is said that it cannot be pushed to, and the work is kept", async () => {
  const { repo, branches } = await makeEmpty("sha256");
  const request = one.request(repo);
  const { work } = await deliver(one, request, "echo new > new.txt");
  expect(work.push).toMatchObject({ pushed: false, reason: expect.stringContaining("SHA-256") });
  expect(work.push).not.toHaveProperty("hostIsAway");
  expect(request.unpushed.commit).toBe(work.commit);
  expect(await branches()).toEqual([]);
});
