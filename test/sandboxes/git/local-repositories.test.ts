import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RepositoryError } from "../../../src/sandboxes/sandbox.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

let fixture: SandboxFixture;
let outside: string;
beforeAll(async () => {
  fixture = await openSandboxFixture();
  outside = await mkdtemp(join(tmpdir(), "pb-outside-"));
});
afterAll(async () => {
  await fixture.remove();
  await rm(outside, { recursive: true, force: true });
});

/**
 * An agent's script: a bare repository in its state folder, whose hooks write a file on the host. It prints the
 * repository's path on the host, which the kernel tells every program in /proc/self/mountinfo.
 */
const PLANT = `
set -eu
cd "$STATE"
git init -q --bare --initial-branch=main planted
git init -q --initial-branch=main seed
cd seed
git -c user.name=x -c user.email=x@x commit -q --allow-empty -m seed
git push -q ../planted main
cd ../planted
for hook in pre-receive update post-receive post-update reference-transaction; do
  printf '#!/bin/sh\\ntouch "%s"\\n' "$PROOF" > hooks/$hook
  chmod +x hooks/$hook
done
echo "$(awk -v at="$STATE" '$5 == at { print $4 }' /proc/self/mountinfo)/planted"
`;

// S1: the path repository was taken from anywhere, and git pushed to it outside the sandbox, with its hooks.
test("a repository that an agent made in its own folder, found by /proc/self/mountinfo, is refused and its hooks never run", async () => {
  const proof = join(outside, "hook-ran");
  const agent = await fixture.open(fixture.request(fixture.repository.path));
  const { out } = await fixture.run(agent, PLANT, { STATE: agent.paths.state, PROOF: proof });
  const planted = existsSync(out) ? out : join(agent.hostPaths.state, "planted");
  expect(existsSync(join(planted, "hooks/pre-receive"))).toBe(true);

  const attack = async () => {
    const second = await fixture.open(fixture.request(planted));
    await fixture.run(second, "echo x > x");
    return second.deliverWork("x", never);
  };
  const failure = await attack().catch((error: unknown) => error);
  expect(existsSync(proof)).toBe(false);
  expect(failure).toBeInstanceOf(RepositoryError);
  expect((failure as Error).message).toContain("LOCAL_REPOSITORIES");
});

test("what leads out of the listed folders, or into DATA_DIR, is refused when it is used", async () => {
  const link = join(outside, "link");
  await symlink("/etc", link);
  await mkdir(join(fixture.dataDir, "inside"));
  for (const path of [
    link,
    join(link, "nothing"),
    fixture.dataDir,
    join(fixture.dataDir, "inside"),
    "/",
    // Its name begins like that of a listed folder.
    `${tmpdir()}2`,
  ])
    await expect(fixture.open(fixture.request(path))).rejects.toThrow("LOCAL_REPOSITORIES");
});

test("a worktree, and a repository that borrows objects, lead elsewhere: they are refused with advice", async () => {
  const { git } = fixture.repository;
  const worktree = join(outside, "worktree");
  await git("worktree", "add", "-q", "-b", "side", worktree);
  await expect(fixture.open(fixture.request(worktree))).rejects.toThrow(
    "name the repository that it belongs to",
  );
  const borrower = join(outside, "borrower");
  await git("clone", "-q", "--shared", ".", borrower);
  await expect(fixture.open(fixture.request(borrower))).rejects.toThrow("borrows objects");
});

test("the example repository in DATA_DIR is accepted, unless it is a link", async () => {
  const { path } = fixture.repository;
  await Bun.$`git clone -q ${path} ${join(fixture.dataDir, "example")}`.quiet();
  await fixture.open(fixture.request(join(fixture.dataDir, "example")));
  await rm(join(fixture.dataDir, "example"), { recursive: true });
  await symlink("/etc", join(fixture.dataDir, "example"));
  await expect(fixture.open(fixture.request(join(fixture.dataDir, "example")))).rejects.toThrow(
    "LOCAL_REPOSITORIES",
  );
});
