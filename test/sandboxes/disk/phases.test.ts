import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPreparedStore } from "../../../src/sandboxes/prepared-store.ts";
import { MIB } from "../../../src/shared/units.ts";
import { removeFolder } from "../../harness/remove-folder.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { LIMIT_MS, never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";
import { isRoot, pathWithout } from "./fixture.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);
const tools = await mkdtemp(join(tmpdir(), "pb-disk-phases-"));
afterAll(() => removeFolder(tools));
const fill = (file: string) => `dd if=/dev/zero of=${file} bs=64k count=640 2>/dev/null`;

// Nothing watched the disk while preparing and packing: a clean filter, or a large checkout, filled it for everybody.
for (const kind of isRoot ? (["image", "watch"] as const) : (["watch"] as const))
  describe(`the disk quota in every phase: ${kind}`, () => {
    let fixture: SandboxFixture;
    let repository: TestRepository;
    beforeAll(async () => {
      const PATH = kind === "watch" ? await pathWithout(tools, ["mount", "mkfs.ext4"]) : undefined;
      repository = await makeRepository();
      fixture = await openSandboxFixture({
        env: {
          RUN_DISK_MB: "16",
          ...(PATH && { PATH }),
        },
      });
    });
    afterAll(async () => {
      await fixture.remove();
      await repository.remove();
    });

    test("a program that fills its home reaches the limit of its sandbox", async () => {
      const sandbox = await fixture.open(fixture.request(repository.path));
      const full = Promise.withResolvers<void>();
      const watch = sandbox.watchDisk(full.resolve);
      const argv = ["sh", "-c", `${fill('"$HOME/x"')}; sleep 60`] as const;
      const child = sandbox.start(
        { argv, env: { HOME: sandbox.paths.home }, stdin: "", readable: [] },
        LIMIT_MS,
      );
      await full.promise;
      watch.stop();
      await child.stop(0);
      await fixture.provider.release(sandbox.config);
    });

    test("a clean filter that fills the checkout while the work is packed is stopped", async () => {
      const sandbox = await fixture.open(fixture.request(repository.path));
      await fixture.run(
        sandbox,
        `printf '* filter=bomb\\n' > .gitattributes; git config filter.bomb.clean 'sh -c "${fill("bomb")}; sleep 60"'; echo x > x`,
      );
      const work = sandbox.deliverWork("bomb", never);
      expect(work).rejects.toMatchObject({
        message: expect.stringContaining("RUN_DISK_MB"),
        transient: false,
      });
      await work.catch(() => undefined);
      await fixture.provider.release(sandbox.config);
    });

    test("what setup left that is larger than a sandbox may be is not restored, and goes with the sandbox", async () => {
      const folder = await mkdtemp(join(tools, "prepared-"));
      await Bun.$`${{ raw: fill("big") }} && tar -cf checkout.tar big && tar -cf home.tar -T /dev/null`.cwd(
        folder,
      );
      const store = openPreparedStore({ dataDir: fixture.dataDir, maxBytes: 100 * MIB });
      const key = store.keyOf(kind);
      const files = { checkout: join(folder, "checkout.tar"), home: join(folder, "home.tar") };
      await store.add(key, files, { project: "p", see: () => undefined });
      const sandbox = await fixture.open(fixture.request(repository.path));
      const { preparation } = sandbox;
      const [before, found] = [await preparation?.look(never), await store.find(key)];
      if (!preparation || !before || !found) throw new Error("nothing can be restored");
      const failure = await preparation
        .restore(found, { before, signal: never })
        .catch((error: unknown) => error);
      expect(failure).toMatchObject({ message: expect.stringContaining("RUN_DISK_MB") });
      await fixture.provider.release(sandbox.config);
      expect(await readdir(join(fixture.dataDir, "sandboxes"))).toEqual([]);
    });

    test("a sandbox that setup has filled is not kept, and its archives are gone", async () => {
      const sandbox = await fixture.open(fixture.request(repository.path));
      const { preparation } = sandbox;
      const before = await preparation?.look(never);
      if (!preparation || !before) throw new Error("nothing can be kept");
      // No file may be larger than the sandbox; a second one takes what the file system has left beside that, to the last block.
      const rest = 'dd if=/dev/zero of="$HOME/y" bs=512 2>/dev/null';
      await fixture.run(sandbox, `echo x > x; ${fill('"$HOME/x"')}; ${kind === "image" ? rest : ":"} || :`);
      const key = "c".repeat(64);
      const options = { before, maxBytes: 100 * MIB, project: "p", see: () => undefined, signal: never };
      const failure = await preparation.keep(key, options).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(Error);
      expect(await preparation.find(key)).toBeUndefined();
      const left = await Bun.$`find ${fixture.dataDir} -name out -size +1M -o -name 'new-*'`.text();
      expect(left).toBe("");
      await fixture.provider.release(sandbox.config);
    });

    test("a checkout that is larger than a sandbox may be is refused, once and for all", async () => {
      const clone = join(tools, `clone-${kind}`);
      await Bun.$`git clone -q ${repository.path} ${clone} && cd ${clone} && git checkout -q -b large-${kind} && head -c 24000000 /dev/urandom > large.bin && git add -A && git -c user.name=x -c user.email=x@x commit -q -m large && git push -q origin large-${kind}`.quiet();
      const request = fixture.request(repository.path, { targetBranch: `large-${kind}` });
      const opened = fixture.open(request);
      expect(opened).rejects.toMatchObject({
        message: expect.stringContaining("RUN_DISK_MB"),
        transient: false,
      });
      await opened.catch(() => undefined);
    });
  });
