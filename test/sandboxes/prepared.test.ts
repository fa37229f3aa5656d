import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { lstat, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PACK, REFUSED } from "../../src/sandboxes/prepared-scripts.ts";
import { openPreparedStore } from "../../src/sandboxes/prepared-store.ts";
import type { Preparation, Sandbox } from "../../src/sandboxes/sandbox.ts";
import { MIB } from "../../src/shared/units.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture } from "./fixture.ts";

const of = (sandbox: Sandbox) => sandbox.preparation as Preparation;
const signal = never;
const see = () => undefined;
const project = Bun.randomUUIDv7();

setDefaultTimeout(4 * SLOW_TEST_TIMEOUT_MS);

for (const isolated of [true, false])
  describe(`snapshots of prepared checkouts, ${isolated ? "isolated" : "not isolated"}`, () => {
    let made: SandboxFixture;
    const fixture = () => made;
    beforeAll(async () => {
      made = await openSandboxFixture({ isolated, env: { PREPARED_MAX_MB: "64" } });
    }, SLOW_TEST_TIMEOUT_MS);
    afterAll(() => made.remove());
    const opened = () => fixture().open(fixture().request(fixture().repository.path));
    const release = (sandbox: Sandbox) => fixture().provider.release(sandbox.config);
    /** A snapshot with an archive that a script makes in an empty folder, as `archive`. */
    const hostile = async (script: string, part: "checkout" | "home" = "checkout") => {
      const folder = await mkdtemp(join(tmpdir(), "pb-hostile-"));
      await Bun.$`cd ${folder} && mkdir in && sh -ec ${script} && tar -cf none -T /dev/null`.quiet();
      const [bad, none] = [join(folder, "archive"), join(folder, "none")];
      const store = openPreparedStore({ dataDir: fixture().dataDir, maxBytes: 64 * MIB });
      const key = store.keyOf(script);
      const files = part === "checkout" ? { checkout: bad, home: none } : { checkout: none, home: bad };
      await store.add(key, files, { project, see });
      await rm(folder, { recursive: true });
      const found = await store.find(key);
      if (!found) throw new Error("the snapshot is not there");
      return found;
    };
    const restored = async (script: string, part?: "checkout" | "home") => {
      const sandbox = await opened();
      const before = await of(sandbox).look(signal);
      const snapshot = await hostile(script, part);
      const failure = await of(sandbox)
        .restore(snapshot, { before, signal })
        .then(
          () => undefined,
          (error: Error) => error,
        );
      return { sandbox, failure };
    };

    test("no archive leads out of the sandbox", async () => {
      const { dataDir } = fixture();
      const target = join(dataDir, "escaped");
      for (const script of [
        `echo bad > in/x; tar -cPf archive --transform 's,^in/x$,${target},' in/x`,
        `echo bad > in/x; tar -cPf archive --transform 's,^in/x$,../../../../escaped,' in/x`,
        `mkdir in/a; echo bad > in/a/escaped; tar -cPf archive -C in a/escaped; rm -r in/a; ln -s ${dataDir} in/a
           tar -cPf first -C in a; tar -Af first archive; mv first archive`,
        `mkdir -p in/a; echo bad > in/a/escaped; tar -cPf archive -C in a/escaped; rm -r in/a; ln -s ../../../.. in/a
           tar -cPf first -C in a; tar -Af first archive; mv first archive`,
      ]) {
        const { sandbox } = await restored(script);
        expect(await lstat(target).catch(() => undefined)).toBeUndefined();
        expect(await lstat(join(dataDir, "../escaped")).catch(() => undefined)).toBeUndefined();
        await release(sandbox);
      }
    });

    test("a link to a file outside is not made", async () => {
      const outside = join(fixture().dataDir, "host-id");
      const { sandbox } = await restored(
        `echo x > in/y; ln in/y in/z; tar -cPf archive --transform 'flags=rh;s,^in/y$,${outside},' in/y in/z; tar --delete -Pf archive ${outside}`,
      );
      const made = await lstat(join(sandbox.hostPaths.checkout, "in/z")).catch(() => undefined);
      expect(made?.ino).not.toBe((await lstat(outside)).ino);
      expect((await lstat(outside)).nlink).toBe(1);
      await release(sandbox);
    });

    test("setuid and setgid are not restored, nor owners; devices and pipes neither", async () => {
      const { sandbox } = await restored(
        "cp /bin/true in/x; chown 0:0 in/x; chmod 6755 in/x; mknod in/null c 1 3; tar -cf archive -C in .",
      );
      const file = await lstat(join(sandbox.hostPaths.checkout, "x"));
      expect(file.mode & 0o7777).toBe(0o755);
      expect(file.uid).toBe((await lstat(sandbox.hostPaths.checkout)).uid);
      await release(sandbox);
    });

    test(".git, tracked files and the agent's settings stay what they were, or it is noticed", async () => {
      const config = async ({ hostPaths }: Sandbox) =>
        readFile(join(hostPaths.checkout, ".git/config"), "utf8");
      const direct = await restored(
        "mkdir in/.git; echo bad > in/.git/config; echo x > in/.git/new; tar -cf archive -C in .",
      );
      expect(await config(direct.sandbox)).not.toContain("bad");
      expect(
        await lstat(join(direct.sandbox.hostPaths.checkout, ".git/new")).catch(() => undefined),
      ).toBeUndefined();
      await release(direct.sandbox);
      const readme = await restored("echo bad > in/README.md; tar -cf archive -C in .");
      expect(await readFile(join(readme.sandbox.hostPaths.checkout, "README.md"), "utf8")).toBe("# Test\n");
      await release(readme.sandbox);
      const linked = await restored(
        `mkdir -p in/a/hooks; echo bad > in/a/hooks/post-checkout; tar -cf archive -C in a/hooks/post-checkout; rm -r in/a
           ln -s .git in/a; tar -cf first -C in a; tar -Af first archive; mv first archive`,
      );
      expect(linked.failure?.message).toContain("it would have changed what is in .git");
      await release(linked.sandbox);
      const settings = await restored(
        "mkdir in/.agent; echo bad > in/.agent/settings; tar -cf archive -C in .",
        "home",
      );
      expect(settings.failure).toBeUndefined();
      for (const folder of [
        settings.sandbox.hostPaths.state,
        join(settings.sandbox.hostPaths.home, ".agent"),
      ])
        expect(await lstat(join(folder, "settings")).catch(() => undefined)).toBeUndefined();
      await release(settings.sandbox);
    });

    test("what a setup can make and no archive should have is left out", async () => {
      const sandbox = await opened();
      const before = await of(sandbox).look(signal);
      await fixture().run(
        sandbox,
        `mkfifo pipe; mkdir -p d; touch d/file -- '-delete' '--checkpoint-action=exec=touch bad' "new
line"; ln -s /etc/passwd abs; chmod 4755 d/file; mkdir closed; touch closed/x; chmod 555 closed; mkdir -p "$HOME/.npm/_logs"; touch "$HOME/.npm/_logs/x"`,
      );
      await of(sandbox).keep("a".repeat(64), { before, maxBytes: MIB, project, see, signal });
      const found = await of(sandbox).find("a".repeat(64));
      const listed = (await Bun.$`tar -tvf ${found?.files.checkout ?? ""}`.text()).trim();
      expect(listed).not.toContain("pipe");
      expect(listed).not.toContain(".git");
      expect((await Bun.$`tar -tf ${found?.files.home ?? ""}`.text()).trim()).toBe("");
      await release(sandbox);
      const next = await opened();
      const again = await of(next).find("a".repeat(64));
      if (!again) throw new Error("nothing was kept");
      // Another run makes room.
      await of(next).remove("a".repeat(64));
      await of(next).restore(again, { before: await of(next).look(signal), signal });
      const left = await readdir(dirname(again.files.home));
      expect(left.filter((name) => name.endsWith(".tar"))).toEqual([]);
      const { out } = await fixture().run(next, "find . -path ./.git -prune -o -printf '%y %m %p;' | sort");
      for (const one of [
        "f 755 ./d/file;",
        "f 644 ./-delete;",
        "f 644 ./closed/x;",
        "f 644 ./new\nline;",
        "l 777 ./abs;",
      ])
        expect(out).toContain(one);
      expect(
        await of(next)
          .look(signal)
          .then(({ changed }) => changed),
      ).toEqual([]);
      await release(next);
    });

    test("what is too large is not kept, and the sandbox is as it was", async () => {
      for (const [script, said] of [
        ["head -c 3000000 /dev/zero > big", "more than the 1 MB"],
        ["truncate -s 50M sparse", "more than the 1 MB"],
      ] as const) {
        const sandbox = await opened();
        const before = await of(sandbox).look(signal);
        await fixture().run(sandbox, script);
        await expect(
          of(sandbox).keep("b".repeat(64), { before, maxBytes: MIB, project, see, signal }),
        ).rejects.toThrow(said);
        expect(await of(sandbox).find("b".repeat(64))).toBeUndefined();
        expect((await fixture().run(sandbox, 'ls -A "$TMPDIR"')).out.trim()).toBe("");
        await release(sandbox);
      }
    });
  });

test("there are only so many files in one", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-many-"));
  await Bun.$`touch a b c`.cwd(folder);
  const pack = (most: number) =>
    Bun.$`sh -c ${PACK} pack ${folder} home ${most} 1000000 "" < /dev/null`.cwd(folder).quiet().nothrow();
  expect((await pack(2)).exitCode).toBe(REFUSED.tooMany);
  expect((await pack(3)).exitCode).toBe(0);
  await rm(folder, { recursive: true });
});

test("nothing is kept beyond PREPARED_MAX_MB, however much room there is, and nothing at all with 0", async () => {
  for (const limit of ["1", "0"]) {
    const made = await openSandboxFixture({ isolated: false, env: { PREPARED_MAX_MB: limit } });
    const sandbox = await made.open(made.request(made.repository.path));
    const { preparation } = sandbox;
    expect([limit, preparation !== undefined]).toEqual([limit, limit !== "0"]);
    if (preparation) {
      const before = await preparation.look(signal);
      await made.run(sandbox, "head -c 3000000 /dev/zero > big");
      const keep = preparation.keep("c".repeat(64), { before, maxBytes: 64 * MIB, project, see, signal });
      await expect(keep).rejects.toThrow("more than the 1 MB");
    }
    await made.provider.release(sandbox.config);
    await made.remove();
  }
});

test("what is kept makes room on a machine where no run could start otherwise", async () => {
  for (const [free, left] of [
    ["1", 1],
    ["9000000", 0],
  ] as const) {
    const made = await openSandboxFixture({ isolated: false, env: { MIN_FREE_DISK_MB: free } });
    const store = openPreparedStore({ dataDir: made.dataDir, maxBytes: MIB });
    const files = { checkout: join(made.dataDir, "a"), home: join(made.dataDir, "b") };
    for (const file of Object.values(files)) await Bun.write(file, "x");
    await store.add(store.keyOf(1), files, { project, see });
    await made.provider.sweep(async (ids) => new Set(ids));
    expect(await readdir(join(made.dataDir, "prepared"))).toHaveLength(left);
    await made.remove();
  }
});
