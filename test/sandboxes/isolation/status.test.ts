import { expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { etcFolder } from "../../../src/sandboxes/isolation/sandbox-etc.ts";
import { openIsolation } from "../../../src/sandboxes/isolation/status.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** A PATH with these programs alone. */
async function machineWith(programs: Record<string, string>) {
  const folder = await mkdtemp(join(tmpdir(), "pb-status-"));
  const path = join(folder, "bin");
  await mkdir(path);
  const add = async (name: string, script: string) => {
    await writeFile(join(path, name), script);
    await chmod(join(path, name), 0o755);
  };
  for (const [name, script] of Object.entries(programs)) await add(name, script);
  for (const name of ["sh", "true", "setpriv", "cat"]) {
    const found = Bun.which(name);
    if (found && !programs[name]) await symlink(found, join(path, name));
  }
  const open = (options: { allowUnisolated?: boolean; recheckMs?: number; refreshMs?: number } = {}) =>
    openIsolation({
      ...{ path, dataDir: folder, uids: { first: 200_000 }, allowUnisolated: false, ...options },
    });
  return { folder, open, add, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

const WORKS = "#!/bin/sh\nexit 0\n";

test("what is missing is named, with its remedy, and what was installed meanwhile is found without a restart", async () => {
  await using machine = await machineWith({});
  const isolation = await machine.open({ recheckMs: 0 });
  expect(isolation.current).toBeUndefined();
  expect(await isolation.status.refusal()).toContain("bubblewrap is not installed; install it");
  await machine.add("bwrap", WORKS);
  expect(await isolation.status.refusal()).toContain("socat is not installed; install it");
  await machine.add("socat", WORKS);
  expect(await isolation.status.refusal()).toBeUndefined();
  expect(isolation.status).toMatchObject({ isolated: true, missing: [] });
});

test("it is tried again only after a while", async () => {
  await using machine = await machineWith({});
  const isolation = await machine.open();
  for (const name of ["bwrap", "socat"]) await machine.add(name, WORKS);
  expect(await isolation.status.refusal()).toContain("bubblewrap is not installed");
});

// The sweep compared hundreds of files every ten seconds.
test("copies of this machine's files are compared with them only after a while", async () => {
  await using machine = await machineWith({ bwrap: WORKS, socat: WORKS });
  const stale = join(etcFolder(machine.folder), "etc", "hosts");
  const isStaleAfter = async (refreshMs?: number) => {
    const isolation = await machine.open(refreshMs === undefined ? {} : { refreshMs });
    await writeFile(stale, "stale");
    await isolation.refresh();
    return (await Bun.file(stale).text()) === "stale";
  };
  expect(await isStaleAfter()).toBe(true);
  expect(await isStaleAfter(0)).toBe(false);
});

test.each([
  ["network namespace", "--unshare-net"],
  ["seccomp", "--seccomp"],
] as const)("without %s nothing but that is missing", async (part, option) => {
  const script = `#!/bin/sh\nfor one; do [ "$one" = ${option} ] && echo "no ${option}" >&2 && exit 1; done; exit 0\n`;
  await using machine = await machineWith({ bwrap: script, socat: WORKS });
  const { status, current } = await machine.open();
  expect(status.missing.map((one) => one.part)).toEqual([part]);
  expect(status.missing[0]?.why).toContain(`no ${option}`);
  expect(current?.wrap({ argv: ["x"], mounts: [], cwd: "/", uid: 200_000 })).not.toContain(option);
  expect(await status.refusal()).toContain(part === "seccomp" ? "system calls" : "network of their own");
});

test("as root, users that do not exist here are missing, and nothing is asked for with ALLOW_UNISOLATED_AGENTS=1", async () => {
  if (process.getuid?.() !== 0) return;
  const script = `#!/bin/sh\nfor one; do [ "$one" = --reuid ] && echo "setresuid failed" >&2 && exit 1; done; exit 0\n`;
  await using machine = await machineWith({ bwrap: script, socat: WORKS });
  const { status, current } = await machine.open({ allowUnisolated: true });
  expect(status.missing.map((one) => one.part)).toEqual(["uid"]);
  expect(current?.uids).toBe(false);
  expect(await status.refusal()).toBeUndefined();
});
