import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runBounded } from "../../../src/sandboxes/git/run-bounded.ts";
import { amongOthers } from "../../../src/sandboxes/git/store-lock.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

// A repository that takes ten minutes took five times ten.
test.each(["request", "git_host"] as const)(
  "a program that takes too long, by the fault of: %s",
  async (fault) => {
    const started = runBounded(
      {
        argv: ["/bin/sh", "-c", "exec sleep 1000"],
        cwd: "/",
        env: { PATH: process.env["PATH"] ?? "" },
        ...{ stdin: undefined, stdout: undefined, filter: undefined, groups: undefined },
        timeout: { ms: 60, fault },
      },
      never,
    );
    await expect(started).rejects.toMatchObject({
      message: "git was stopped: it took longer than 0.001 minutes",
      fault,
    });
  },
);

// It listened for an abort to come, and the program ran for up to ten minutes.
test("a signal that has aborted while a program was made ready starts nothing", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-aborted-"));
  try {
    const started = runBounded(
      {
        argv: ["/bin/sh", "-c", "touch started"],
        cwd: folder,
        env: { PATH: process.env["PATH"] ?? "" },
        ...{ stdin: undefined, stdout: undefined, filter: undefined, groups: undefined },
        timeout: { ms: 60_000, fault: "machine" },
      },
      AbortSignal.abort(new Error("cancelled")),
    );
    await expect(started).rejects.toThrow("cancelled");
    expect(await readdir(folder)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

// No quota counts what is fetched into our copies of repositories.
test("a fetch ends when the disk of the machine is nearly full, and leaves nothing", async () => {
  const fixture = await openSandboxFixture({ env: { MIN_FREE_DISK_MB: "10000000" } });
  try {
    await expect(fixture.open(fixture.request(fixture.repository.path))).rejects.toMatchObject({
      message: "The disk of the machine that runs the prompts is nearly full (MIN_FREE_DISK_MB).",
      transient: true,
    });
    expect(await Bun.$`find ${join(fixture.dataDir, "repos")} -name "*tmp*"`.nothrow().quiet().text()).toBe(
      "",
    );
  } finally {
    await fixture.remove();
  }
});

// Found by chaos: a pack that another process on this DATA_DIR was receiving was removed, and its prompt failed for good.
test("what a failed fetch has left is removed, but not beside another process, whose it may be", async () => {
  const fixture = await openSandboxFixture({});
  try {
    const { path } = fixture.repository;
    await fixture.open(fixture.request(path));
    const [name = ""] = await readdir(join(fixture.dataDir, "repos"));
    const store = join(fixture.dataDir, "repos", name.replace(/\.lock$/, ""));
    const unfinished = join(store, "objects/pack/tmp_pack_x");
    await writeFile(unfinished, "half a pack");
    const failToFetch = () =>
      expect(fixture.open(fixture.request(path, { targetBranch: "none" }))).rejects.toThrow("none");
    await amongOthers(store, never, async () => {
      await failToFetch();
      expect(existsSync(unfinished)).toBe(true);
    });
    await failToFetch();
    expect(existsSync(unfinished)).toBe(false);
  } finally {
    await fixture.remove();
  }
});
