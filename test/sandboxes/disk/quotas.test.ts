import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, statfs, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createLogger } from "../../../src/observability/logger.ts";
import { openDiskQuotas } from "../../../src/sandboxes/disk/quotas.ts";
import { withinQuota } from "../../../src/sandboxes/disk/within-quota.ts";
import { mountsBelow, removeFolder } from "../../harness/remove-folder.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { until } from "../../harness/until.ts";
import { isRoot, LIMIT, MIB, openQuotaFixture, pathWithout, type QuotaFixture } from "./fixture.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

/** An ext4 with project quotas, as DATA_DIR's disk; undefined where this kernel has none. */
async function mountWithProjects(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "pb-projects-"));
  const image = join(folder, "disk.img");
  const at = join(folder, "at");
  const made =
    await Bun.$`truncate -s 200M ${image} && mkdir ${at} && mkfs.ext4 -q -F -O quota,project -E quotatype=prjquota ${image} && mount -o loop,prjquota ${image} ${at} && chmod 755 ${folder} ${at}`
      .quiet()
      .nothrow();
  if (made.exitCode === 0) return at;
  await removeFolder(folder);
  return undefined;
}

const scratch = await mkdtemp(join(tmpdir(), "pb-disk-tools-"));
const projects = isRoot ? await mountWithProjects() : undefined;
const onlyWatched = await pathWithout(scratch, ["mount", "mkfs.ext4"]);
afterAll(async () => {
  await removeFolder(scratch);
  if (projects) await removeFolder(join(projects, ".."));
});

/** What each way to limit must do. */
function describeMethod(kind: string, open: () => Promise<QuotaFixture>): void {
  describe(`the disk quota of a sandbox: ${kind}`, () => {
    let fixture: QuotaFixture;
    beforeAll(async () => {
      fixture = await open();
    });
    afterAll(() => fixture[Symbol.asyncDispose]());
    const filled = (space: Parameters<QuotaFixture["run"]>[0]) => {
      const full = Promise.withResolvers<void>();
      return { ...fixture.quotas.watch(space, full.resolve), full: full.promise };
    };

    test("this way was chosen", () => {
      expect(fixture.quotas.kind).toBe(kind as never);
    });

    test("an agent that fills its home is noticed; its neighbour is not", async () => {
      const [space, neighbour] = [await fixture.open(), await fixture.open()];
      const watch = filled(space);
      const other = filled(neighbour);
      let innocent = true;
      void other.full.then(() => {
        innocent = false;
      });
      await fixture.run(neighbour, "dd if=/dev/zero of=small bs=1M count=4");
      await fixture.run(space, "dd if=/dev/zero of=large bs=64k count=320");
      await watch.full;
      expect(await fixture.quotas.used(space)).toBeGreaterThan(LIMIT - MIB);
      expect(await fixture.quotas.used(neighbour)).toBeLessThan(LIMIT / 2);
      expect((await fixture.run(neighbour, "echo goes on > file")).code).toBe(0);
      expect(innocent).toBe(true);
      other.stop();
    });

    test("the conversation counts, too", async () => {
      const space = await fixture.open();
      const watch = filled(space);
      await fixture.run(space, 'dd if=/dev/zero of="$STATE/transcript.jsonl" bs=64k count=320');
      await watch.full;
    });

    test("a million files that are empty are noticed", async () => {
      const space = await fixture.open();
      const watch = filled(space);
      await fixture.run(space, "i=0; while [ $i -lt 1100 ] && : > f$i; do i=$((i+1)); done");
      await watch.full;
    });

    test("a sparse file costs what it holds", async () => {
      const space = await fixture.open();
      await fixture.run(space, "truncate -s 10M sparse");
      expect(await fixture.quotas.used(space)).toBeLessThan(2 * MIB);
    });

    test("opening it again changes nothing, and releasing it leaves nothing", async () => {
      const space = await fixture.open();
      await fixture.run(space, "echo kept > file; mkdir locked; echo x > locked/y; chmod 000 locked");
      await fixture.quotas.open(space);
      expect(await readdir(space.folder)).toContain("file");
      await fixture.quotas.release(space);
      await fixture.quotas.release(space);
      await removeFolder(join(space.folder, ".."));
      expect(existsSync(space.folder)).toBe(false);
      expect(await mountsBelow(space.folder)).toEqual([]);
    });

    test("what failed for lack of the sandbox's space is told from other failures", async () => {
      const space = await fixture.open();
      expect(await fixture.quotas.explains(space, new Error("fatal: not a git repository"))).toBe(false);
      await fixture.run(space, "dd if=/dev/zero of=large bs=64k count=320");
      expect(await fixture.quotas.explains(space, new Error("anything"))).toBe(true);
    });

    test.if(kind !== "watch")("the kernel refuses what is beyond it", async () => {
      const space = await fixture.open();
      const { code, stderr } = await fixture.run(space, "dd if=/dev/zero of=large bs=64k count=320");
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/No space left on device|Disk quota exceeded/);
      expect(await fixture.quotas.used(space)).toBeLessThanOrEqual(LIMIT + MIB);
      // It tidied up: the error alone says what it was.
      await fixture.run(space, "rm large");
      expect(await fixture.quotas.explains(space, new Error(stderr))).toBe(true);
    });

    // A large checkout on a busy machine was sometimes accepted.
    test.if(kind === "watch")("work that ends between two looks is measured all the same", async () => {
      const space = await fixture.open();
      const signal = new AbortController().signal;
      const fill = () => fixture.run(space, "fallocate -l 20M large");
      const filled = withinQuota({ disk: fixture.quotas, space, signal }, fill);
      expect(await filled.catch((error: Error) => error.message)).toContain("RUN_DISK_MB");
    });

    test.if(kind === "watch")("a folder that the agent locks is measured all the same", async () => {
      const space = await fixture.open();
      const watch = filled(space);
      await fixture.run(space, "mkdir d; dd if=/dev/zero of=d/large bs=64k count=320; chmod 000 d");
      await watch.full;
    });

    test.if(kind === "image")("a mount that a restart of the machine has ended comes back", async () => {
      const space = await fixture.open();
      await fixture.run(space, "echo kept > file");
      await Bun.$`umount ${space.folder}`.quiet();
      expect(await readdir(space.folder)).toEqual([]);
      await fixture.quotas.open(space);
      expect(await readdir(space.folder)).toContain("file");
      expect((await Bun.$`findmnt -no OPTIONS ${space.folder}`.text()).split(",")).toEqual(
        expect.arrayContaining(["nosuid", "nodev"]),
      );
    });

    test.if(kind === "image")(
      "the next sandbox's file system is not made while this one starts",
      async () => {
        const spares = join(fixture.folder, "spare-disks");
        const images = async () => (await readdir(spares)).filter((name) => name.endsWith(".img"));
        await until(async () => (await images()).length === 1, { what: "a spare" });
        await fixture.open();
        expect(await readdir(spares)).toEqual([]);
        await until(async () => (await images()).length === 1, { what: "another spare" });
      },
    );

    test.if(kind === "image")(
      "what a killed process has left of its trial is released, and what another is making stays",
      async () => {
        const root = join(fixture.folder, "sandboxes");
        const [dead, alive] = [0, Date.now()].map((began) =>
          join(root, `trial-${began}-${crypto.randomUUID()}`),
        );
        for (const trial of [dead, alive])
          await Bun.$`mkdir ${trial} && truncate -s 16M ${trial}.img && mkfs.ext4 -q -F ${trial}.img && mount -o loop ${trial}.img ${trial}`.quiet();
        const draft = (name: string) => join(fixture.folder, "spare-disks", `draft-${name}`);
        for (const name of ["dead", "alive"]) await writeFile(draft(name), "");
        await utimes(draft("dead"), 0, 0);
        const logger = createLogger({ level: "silent" });
        await openDiskQuotas({ root, path: process.env["PATH"] ?? "", limit: LIMIT, logger });
        expect(await mountsBelow(`${dead}`)).toEqual([]);
        expect((await readdir(root)).filter((name) => name.startsWith("trial-0"))).toEqual([]);
        expect(existsSync(draft("dead"))).toBe(false);
        expect(existsSync(draft("alive"))).toBe(true);
      },
    );

    // A program that is killed keeps its files open a little longer.
    test.if(kind === "image")(
      "a file that is held open a little longer delays the release, and does not prevent it",
      async () => {
        const tools = await mkdtemp(join(scratch, "tools-"));
        const tried = join(tools, "tried");
        const umount = `#!/bin/sh\n${Bun.which("umount")} "$@"\ncode=$?\necho $code >>${tried}\nexit $code\n`;
        await writeFile(join(tools, "umount"), umount, { mode: 0o755 });
        await using slow = await openQuotaFixture({ path: `${tools}:${process.env["PATH"]}` });
        const space = await slow.open();
        await rm(tried, { force: true });
        await using holder = Bun.spawn(["sleep", "600"], { cwd: space.folder });
        const released = slow.quotas.release(space);
        await until(() => existsSync(tried), { what: "the first try" });
        holder.kill();
        await released;
        expect(existsSync(`${space.folder}.img`)).toBe(false);
        const codes = (await readFile(tried, "utf8")).trim().split("\n");
        expect(codes.length).toBeGreaterThan(1);
        expect(codes.at(-1)).toBe("0");
      },
    );

    test.if(kind === "image")("a file that is held open for ever is an error", async () => {
      const space = await fixture.open();
      await using holder = Bun.spawn(["sleep", "600"], { cwd: space.folder });
      const failed = fixture.quotas.release(space).catch((error: Error) => error.message);
      expect(await failed).toContain("target is busy");
      holder.kill();
      await holder.exited;
      await fixture.quotas.release(space);
      expect(await mountsBelow(dirname(space.folder))).toEqual([]);
    });

    // Cause: it was unmounted only after it could be emptied, which may fail for ever.
    test.if(kind === "image")("what cannot be emptied is unmounted and freed all the same", async () => {
      const space = await fixture.open();
      await fixture.run(space, "echo x > file");
      await Bun.$`chattr +i ${join(space.folder, "file")}`.quiet();
      await fixture.quotas.release(space);
      expect(await mountsBelow(dirname(space.folder))).toEqual([]);
      expect(existsSync(`${space.folder}.img`)).toBe(false);
    });

    test.if(kind === "image")("a folder that has contents from before is not mounted over", async () => {
      const space = await fixture.open();
      await fixture.quotas.release(space);
      await writeFile(join(space.folder, "old"), "x");
      await fixture.quotas.open(space);
      expect(await readdir(space.folder)).toEqual(["old"]);
      await fixture.run(space, "true");
      const { bavail, bsize } = await statfs(space.folder);
      expect(bavail * bsize).toBeGreaterThan(LIMIT * 4);
    });
  });
}

describeMethod("watch", () => openQuotaFixture({ path: onlyWatched }));
if (isRoot) describeMethod("image", () => openQuotaFixture());
if (projects) describeMethod("project", () => openQuotaFixture({ folder: projects }));
else
  test.skip("the disk quota of a sandbox: project (this kernel has no project quotas of ext4)", () =>
    undefined);

// Found by chaos: a prompt whose file was gone was Completed. Its file system takes space on the machine's disk only when it
// is written out; a program hears nothing of it.
test.if(isRoot)("what a full disk of the machine has lost is known", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-full-"));
  const disk = join(folder, "disk");
  await Bun.$`chmod 755 ${folder} && mkdir ${disk} && mount -t tmpfs -o size=24m,mode=755 tmpfs ${disk}`.quiet();
  try {
    await using fixture = await openQuotaFixture({ folder: disk });
    const space = await fixture.open();
    expect(await fixture.quotas.intact(space)).toBe(true);
    await Bun.$`dd if=/dev/zero of=${join(disk, "filler")} bs=1M`.quiet().nothrow();
    expect((await fixture.run(space, "head -c 4M /dev/urandom > lost")).code).toBe(0);
    expect(await fixture.quotas.intact(space)).toBe(false);
    // Its journal was among what was lost: it stays read-only when there is space again.
    await Bun.$`rm ${join(disk, "filler")}`.quiet();
    expect(await fixture.run(space, "touch more")).toMatchObject({
      stderr: expect.stringContaining("Read-only"),
    });
    expect(await fixture.quotas.intact(space)).toBe(false);
  } finally {
    await removeFolder(folder);
  }
});
