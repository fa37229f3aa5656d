import { expect, setSystemTime, test } from "bun:test";
import { existsSync } from "node:fs";
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { etcMounts, writeEtc } from "../../../src/sandboxes/isolation/sandbox-etc.ts";

/** A machine's /etc, and the tree that sandboxes get of it. */
async function withEtc(
  files: Record<string, string>,
  work: (machine: {
    source: string;
    folder: string;
    tree: string;
    update: () => Promise<void>;
  }) => Promise<void>,
) {
  const root = await mkdtemp(join(tmpdir(), "pb-etc-"));
  try {
    const [source, folder] = [join(root, "source"), join(root, "sandbox-etc")] as const;
    await mkdir(source);
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(source, name)), { recursive: true });
      await writeFile(join(source, name), text);
    }
    const update = () => writeEtc(folder, source);
    await update();
    await work({ source, folder, tree: join(folder, "etc"), update });
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

test("what is on the list and readable for all is there, and nothing else", async () => {
  const files = {
    "ssl/certs/ca.pem": "ca",
    "default/locale": "LANG=C",
    shadow: "root:secret",
    "cron.d/job": "x",
    hosts: "10.0.0.1 db",
  };
  await withEtc(files, async ({ source, tree, update }) => {
    await writeFile(join(source, "ssl/certs/private.pem"), "key", { mode: 0o600 });
    await mkdir(join(source, "ssl/certs/closed"), { mode: 0o700 });
    await writeFile(join(source, "ssl/certs/closed/key.pem"), "key");
    await symlink("ca.pem", join(source, "ssl/certs/abc.0"));
    await symlink("/usr/share/zoneinfo/Etc/UTC", join(source, "localtime"));
    await symlink(join(source, "shadow"), join(source, "timezone"));
    await Bun.$`mkfifo ${join(source, "ssl/certs/pipe")}`;
    await update();
    expect((await readdir(tree, { recursive: true })).sort()).toEqual([
      ...["default", "default/locale", "group", "hostname", "hosts"],
      ...(existsSync("/usr/share/zoneinfo/Etc/UTC") ? ["localtime"] : []),
      ...[
        "nsswitch.conf",
        "passwd",
        "resolv.conf",
        "ssl",
        "ssl/certs",
        "ssl/certs/abc.0",
        "ssl/certs/ca.pem",
      ],
    ]);
    expect(await readFile(join(tree, "hosts"), "utf8")).not.toContain("10.0.0.1");
    expect(await readlink(join(tree, "ssl/certs/abc.0"))).toBe("ca.pem");
    expect((await lstat(join(tree, "ssl/certs/ca.pem"))).mode & 0o777).toBe(0o644);
  });
});

test("it follows the machine: what changed is replaced, what became private or is gone is removed", async () => {
  const files = { "ssl/certs/a.pem": "a", "ssl/certs/b.pem": "b", "ssl/certs/c.pem": "c", services: "old" };
  await withEtc(files, async ({ source, tree, update }) => {
    const untouched = await lstat(join(tree, "ssl/certs/a.pem"));
    const mounted = await lstat(tree);
    await chmod(join(source, "ssl/certs/b.pem"), 0o600);
    await rm(join(source, "ssl/certs/c.pem"));
    await writeFile(join(source, "services"), "new");
    await utimes(join(source, "services"), 1, 1);
    await update();
    expect(await readdir(join(tree, "ssl/certs"))).toEqual(["a.pem"]);
    expect(await readFile(join(tree, "services"), "utf8")).toBe("new");
    // Programs that run have mounted this very folder, and may be reading the file.
    expect((await lstat(tree)).ino).toBe(mounted.ino);
    expect((await lstat(join(tree, "ssl/certs/a.pem"))).ino).toBe(untouched.ino);
  });
});

test("processes that start side by side with a new DATA_DIR make one tree", async () => {
  const files = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`ssl/certs/${n}.pem`, `${n}`]));
  await withEtc(files, async ({ source, folder, tree }) => {
    await rm(folder, { recursive: true });
    await Promise.all([1, 2, 3, 4].map(() => writeEtc(folder, source)));
    const certificates = await readdir(join(tree, "ssl/certs"));
    expect(certificates.sort()).toEqual(
      Object.keys(files)
        .map((path) => path.slice(10))
        .sort(),
    );
    for (const name of certificates)
      expect(await readFile(join(tree, "ssl/certs", name), "utf8")).toBe(name.replace(".pem", ""));
  });
});

test("what another process is about to put there stays, and goes when that process was killed", async () => {
  await withEtc({ services: "tcp" }, async ({ tree, update }) => {
    const draft = `services.${crypto.randomUUID()}`;
    for (const name of [draft, "services.old"]) await writeFile(join(tree, name), "");
    await update();
    const services = (await readdir(tree)).filter((name) => name.startsWith("services"));
    expect(services.sort()).toEqual(["services", draft]);
    setSystemTime(Date.now() + 61_000);
    try {
      await update();
    } finally {
      setSystemTime();
    }
    expect(await readdir(tree)).not.toContain(draft);
  });
});

test("a user's own files are there when its program starts, and go when no start has needed them for a day", async () => {
  await withEtc({}, async ({ folder, update }) => {
    expect(etcMounts(folder, 70_001)).toContain(join(folder, "passwd-70001"));
    expect(await readFile(join(folder, "passwd-70001"), "utf8")).toStartWith("agent:x:70001:70001:");
    etcMounts(folder, 70_002);
    const old = new Date(Date.now() - 25 * 60 * 60_000);
    for (const name of ["passwd-70001", "group-70001"]) await utimes(join(folder, name), old, old);
    await update();
    expect((await readdir(folder)).sort()).toEqual(["etc", "group-70002", "passwd-70002"]);
    // An old one is written anew, so that no update removes it while the program starts.
    await utimes(join(folder, "passwd-70002"), old, old);
    etcMounts(folder, 70_002);
    expect(Date.now() - (await lstat(join(folder, "passwd-70002"))).mtimeMs).toBeLessThan(60_000);
  });
});
