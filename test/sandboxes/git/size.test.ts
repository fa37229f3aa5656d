import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../../../src/config/config.ts";
import { createLogger } from "../../../src/observability/logger.ts";
import { openMachine } from "../../../src/sandboxes/open-machine.ts";
import { RepositoryError } from "../../../src/sandboxes/sandbox.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";
import { noiseOf } from "./big-repository.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** Makes trees within trees: 10 entries in each of `depth` levels, and so 10 ** depth files, all of them one blob. */
async function makeBomb(repo: TestRepository, depth: number, content: string): Promise<void> {
  await Bun.write(join(repo.path, "blob"), content);
  let id = (await repo.git("hash-object", "-w", "blob")).trim();
  let mode = "100644 blob";
  for (let level = 0; level < depth; level += 1) {
    const entries = Array.from({ length: 10 }, (_, index) => `${mode} ${id}\tf${index}\n`).join("");
    await Bun.write(join(repo.path, "entries"), entries);
    id = (await Bun.$`git -C ${repo.path} mktree < ${join(repo.path, "entries")}`.quiet().text()).trim();
    mode = "040000 tree";
  }
  const commit = (await repo.git("commit-tree", "-m", "bomb", id)).trim();
  await repo.git("branch", "bomb", commit);
}

/** Trees within trees that end in the empty one: `-r` alone prints none of them, while it walks through all. */
async function makeHollowBomb(repo: TestRepository, depth: number): Promise<void> {
  let id = (await Bun.$`git -C ${repo.path} mktree < /dev/null`.quiet().text()).trim();
  for (let level = 0; level < depth; level += 1) {
    const entries = Array.from({ length: 8 }, (_, index) => `040000 tree ${id}\tf${index}\n`).join("");
    await Bun.write(join(repo.path, "entries"), entries);
    id = (await Bun.$`git -C ${repo.path} mktree < ${join(repo.path, "entries")}`.quiet().text()).trim();
  }
  const commit = (await repo.git("commit-tree", "-m", "bomb", id)).trim();
  await repo.git("branch", "bomb", commit);
}

const BOMBS = {
  "a hundred million files of one byte": { depth: 8, content: "x" },
  "a thousand files of 100 KB": { depth: 3, content: "x".repeat(100_000) },
};

// S5: a few KB of trees became a million files before anything looked at the disk.
describe.each([true, false])("isolated: %p", (isolated) => {
  let fixture: SandboxFixture;
  beforeAll(async () => {
    fixture = await openSandboxFixture({ isolated, env: { REPO_MAX_FILES: "5000", REPO_MAX_MB: "4" } });
  });
  afterAll(() => fixture.remove());

  test.each(Object.entries(BOMBS))("%s are refused before the checkout", async (_, { depth, content }) => {
    const repo = await makeRepository();
    try {
      await makeBomb(repo, depth, content);
      const began = performance.now();
      const opened = fixture.open(fixture.request(repo.path, { targetBranch: "bomb" }));
      await expect(opened).rejects.toThrow(
        "may have 5000 files and folders, and 4 MB (REPO_MAX_FILES, REPO_MAX_MB)",
      );
      await expect(opened).rejects.toBeInstanceOf(RepositoryError);
      // Counting stops at the limit; to count all of them takes minutes.
      expect(performance.now() - began).toBeLessThan(15_000);
      expect(await readdir(join(fixture.dataDir, "sandboxes"))).toEqual([]);
    } finally {
      await repo.remove();
    }
  });

  // The bundle went through the journal's pipe, and was cut off at RUN_MAX_OUTPUT_MB: "git ended with 141".
  test("work may be larger than what an agent may print, and names the limit that it has", async () => {
    const limits = { RUN_MAX_OUTPUT_MB: "1", REPO_MAX_MB: "4" };
    const small = await openSandboxFixture({ isolated, env: limits });
    const repo = await makeRepository();
    try {
      const request = small.request(repo.path, { branch: "prompt/s-large" });
      const sandbox = await small.open(request);
      await small.run(sandbox, "head -c 3M /dev/urandom > large");
      expect(await sandbox.deliverWork("large", never)).toMatchObject({ push: { pushed: true } });
      await small.run(sandbox, "head -c 6M /dev/urandom > larger");
      const delivered = sandbox.deliverWork("larger", never);
      await expect(delivered).rejects.toThrow("more than 4 MB (REPO_MAX_MB)");
      await expect(delivered).rejects.toMatchObject({ transient: false });
    } finally {
      await small.remove();
      await repo.remove();
    }
  });

  // Small packs were unpacked: 12 deltas of 58 bytes became 113 MB in our copy, where no quota counts.
  test("work that is small as a pack and large in a checkout is refused, and stays small", async () => {
    const repo = await makeRepository();
    try {
      const request = fixture.request(repo.path, { branch: "prompt/s-deltas" });
      const sandbox = await fixture.open(request);
      const store = (await Bun.$`ls -td ${join(fixture.dataDir, "repos")}/*.git`.text()).split("\n")[0] ?? "";
      const kib = async () => Number.parseInt(await Bun.$`du -sk ${store}`.text(), 10);
      const before = await kib();
      await fixture.run(
        sandbox,
        "head -c 300k /dev/urandom > base; for i in $(seq 40); do { echo $i; cat base; } > f$i; done",
      );
      const delivered = sandbox.deliverWork("deltas", never);
      await expect(delivered).rejects.toThrow("REPO_MAX_MB");
      await expect(delivered).rejects.toMatchObject({ transient: false });
      expect((await kib()) - before).toBeLessThan(2_000);
    } finally {
      await repo.remove();
    }
  });

  test("folders without any file are counted, too: 8 levels of 8", async () => {
    const repo = await makeRepository();
    try {
      await makeHollowBomb(repo, 8);
      const opened = fixture.open(fixture.request(repo.path, { targetBranch: "bomb" }));
      await expect(opened).rejects.toThrow("REPO_MAX_FILES");
    } finally {
      await repo.remove();
    }
  });

  test("a checkout that is too large as a pack is refused while it is fetched, also alone, and leaves nothing behind", async () => {
    const repo = await makeRepository();
    try {
      await Bun.write(join(repo.path, "noise"), noiseOf(8 * 1024 ** 2));
      await repo.git("add", "noise");
      await repo.git("commit", "-q", "-m", "noise");
      await expect(fixture.open(fixture.request(repo.path))).rejects.toThrow("REPO_MAX_MB");
      // Each try left as much as REPO_MAX_MB, for ever.
      expect(await Bun.$`find ${join(fixture.dataDir, "repos")} -name "*tmp*"`.text()).toBe("");
      // Its history alone is too large now.
      await repo.git("rm", "-q", "noise");
      await repo.git("commit", "-q", "-m", "no noise");
      const { notices } = await fixture.open(fixture.request(repo.path));
      expect(notices).toEqual([expect.stringContaining("too large to be fetched whole (REPO_MAX_MB)")]);
      expect(await Bun.$`find ${join(fixture.dataDir, "repos")} -name "*tmp*"`.text()).toBe("");
    } finally {
      await repo.remove();
    }
  });
});

// It is unpacked there, without another look.
test("a repository is counted before it is bundled for a borrowed sandbox", async () => {
  const fixture = await openSandboxFixture();
  const repo = await makeRepository();
  try {
    await makeBomb(repo, 3, "x");
    const env = { DATA_DIR: fixture.dataDir, LOCAL_REPOSITORIES: tmpdir(), REPO_MAX_FILES: "100" };
    const logger = createLogger({ level: "silent" });
    const machine = await openMachine({ config: readConfig({ PATH: process.env["PATH"], ...env }), logger });
    const bundled = (targetBranch: string) => {
      const request = fixture.request(repo.path, { targetBranch });
      return machine.repositoryFor(request).bundle(request, join(fixture.dataDir, "bundle"), never);
    };
    await expect(bundled("bomb")).rejects.toThrow("may have 100 files and folders");
    expect(await bundled("main")).toMatchObject({ start: expect.any(String) });
  } finally {
    await fixture.remove();
    await repo.remove();
  }
});
