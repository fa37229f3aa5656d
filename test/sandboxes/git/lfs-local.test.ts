import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { oidOf, pointerTo } from "../../harness/lfs-stand-in.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const opened: (SandboxFixture | TestRepository)[] = [];
afterAll(async () => {
  for (const one of opened) await one.remove();
});

const fixtureOf = async (options: Parameters<typeof openSandboxFixture>[0] = {}) => {
  const fixture = await openSandboxFixture(options);
  opened.push(fixture);
  return fixture;
};

const objectIn = (repository: TestRepository, contents: string) => {
  const oid = oidOf(contents);
  return join(repository.path, ".git/lfs/objects", oid.slice(0, 2), oid.slice(2, 4), oid);
};

/** A repository on this machine that keeps "a.bin" with Git LFS. */
async function repositoryWith(contents: string): Promise<TestRepository> {
  const repository = await makeRepository({
    files: { ".gitattributes": "*.bin filter=lfs\n", "a.bin": pointerTo(contents), "text.txt": "text\n" },
  });
  opened.push(repository);
  await Bun.write(objectIn(repository, contents), contents);
  return repository;
}

test("a repository on this machine: its objects come from its folder, and new ones go there before the branch", async () => {
  const fixture = await fixtureOf();
  const repository = await repositoryWith("of this machine\n");
  const sandbox = await fixture.open(fixture.request(repository.path));
  const { out } = await fixture.run(sandbox, "cat a.bin; echo changed > a.bin");
  expect(out).toBe("of this machine");
  const work = await sandbox.deliverWork("work", never);
  expect(work).toMatchObject({ push: { pushed: true }, notices: [] });
  expect(await repository.git("show", "prompt/one:a.bin")).toBe(pointerTo("changed\n"));
  expect(await Bun.file(objectIn(repository, "changed\n")).text()).toBe("changed\n");
});

test("what is under an object's name and is not the object does not get into a checkout", async () => {
  const fixture = await fixtureOf();
  const repository = await repositoryWith("right\n");
  await Bun.write(objectIn(repository, "right\n"), "wrong\n");
  const sandbox = await fixture.open(fixture.request(repository.path));
  expect(sandbox.notices).toHaveLength(1);
  expect((await fixture.run(sandbox, "cat a.bin")).out).toBe(pointerTo("right\n").trimEnd());
});

test("without git-lfs, files are named: those that are pointers in the checkout, and those that are committed plain", async () => {
  const fixture = await fixtureOf({ isolated: false });
  await rm(join(fixture.dataDir, "bin/git-lfs"));
  const repository = await repositoryWith("a\n");
  const sandbox = await fixture.open(fixture.request(repository.path));
  const why = "git-lfs is not installed on the machine of the service (Debian: apt-get install git-lfs)";
  expect(sandbox.notices).toEqual([
    `The checkout has a pointer instead of 1 file of Git LFS ("a.bin"): ${why}.`,
  ]);
  await fixture.run(sandbox, "echo added > b.bin; touch a.bin");
  const { push, notices } = await sandbox.deliverWork("work", never);
  expect(push).toMatchObject({ pushed: true });
  expect(notices).toEqual([`1 file of Git LFS ("b.bin") was committed as a plain file: ${why}.`]);
  expect(await repository.git("show", "prompt/one:a.bin")).toBe(pointerTo("a\n"));
});

test("a repository that gives nothing to Git LFS has no notices, and nothing is looked for", async () => {
  const fixture = await fixtureOf();
  const repository = await makeRepository({ files: { "a.bin": pointerTo("a\n") } });
  opened.push(repository);
  const sandbox = await fixture.open(fixture.request(repository.path));
  expect(sandbox.notices).toEqual([]);
});
