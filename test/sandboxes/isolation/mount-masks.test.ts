import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMasks } from "../../../src/sandboxes/isolation/mount-masks.ts";

// To the kernel, git on a repository of root's is root: no file's permission holds it.
test("a program that runs as root has masks, also where others have users of their own", () => {
  const masks = createMasks({ ownUser: true, root: true });
  const asRoot = masks(0).join(" ");
  expect(asRoot).toContain("--remount-ro /proc");
  expect(asRoot).toBe(createMasks({ ownUser: false, root: true })(0).join(" "));
  expect(masks(65_000)).toEqual([]);
});

/**
 * Cause: a folder that hides another was a file system in memory which user 1000 of the namespace owns: half of the
 * machine's memory, which nothing counts without control groups.
 */
test.if(process.getuid?.() === 0)(
  "nothing can be written to what hides a folder from an ordinary user",
  async () => {
    const [system, other] = [await mkdtemp("/opt/pb-masks-"), await mkdtemp(join(tmpdir(), "pb-masks-"))];
    try {
      for (const folder of [system, other]) {
        await Bun.$`mkdir -p ${folder}/private ${folder}/data/inside && touch ${folder}/data/inside/seen`.quiet();
        await Bun.$`chmod 755 ${folder} && chmod 700 ${folder}/private && chown -R 65534:65534 ${folder}`.quiet();
      }
      // Folder and what is mounted: DATA_DIR in a folder of the system, and in one that is mounted.
      const inside = join(system, "data", "inside");
      const cases = [
        {
          dataDir: join(system, "data"),
          mount: inside,
          hidden: [join(system, "data"), join(system, "private")],
        },
        { dataDir: join(other, "data"), mount: other, hidden: [join(other, "data")] },
      ];
      for (const { dataDir, mount, hidden } of cases) {
        const write = hidden.map((one) => `touch ${one}/x 2>/dev/null && echo WROTE ${one}`);
        const out = await runAsNobody(
          dataDir,
          mount,
          `ls ${join(dataDir, "inside")} ${hidden.join(" ")}; ${write.join(";")}`,
        );
        expect(out).toMatch(/^bubblewrap \(.*user namespace/);
        expect(out).not.toContain("WROTE");
        // What is mounted in a hidden folder is there.
        expect(out.includes("seen")).toBe(mount === inside);
        expect(out).not.toContain("sandbox-etc");
      }
    } finally {
      for (const folder of [system, other]) await rm(folder, { recursive: true });
    }
  },
);

/** Runs a shell script as an ordinary user's service would run it. @returns what it prints, after what isolates it. */
async function runAsNobody(dataDir: string, mount: string, script: string): Promise<string> {
  const probe = join(import.meta.dir, "../../../src/sandboxes/isolation/probe.ts");
  const service = `import { openSync } from "node:fs";
    import { probeIsolation } from ${JSON.stringify(probe)};
    const [dataDir, mount, script] = process.argv.slice(-3);
    const { isolation, detail } = await probeIsolation({ path: process.env.PATH, dataDir, uids: { first: 1 } });
    console.log(detail);
    const argv = ["sh", "-c", script];
    const mounts = [{ source: mount, target: mount, writable: true }];
    const child = Bun.spawn(isolation.wrap({ argv, mounts, cwd: "/", uid: undefined, hostNetwork: false }), {
      env: { PATH: process.env.PATH, LC_ALL: "C" },
      stdio: ["ignore", "inherit", 1, openSync("/dev/null", "w"), openSync(isolation.filter)],
    });
    await child.exited;`;
  const user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"];
  const child = Bun.spawn([...user, process.execPath, "-e", service, dataDir, mount, script], {
    env: { PATH: process.env["PATH"] },
    stdio: ["ignore", "pipe", "inherit"],
  });
  return child.stdout.text();
}
