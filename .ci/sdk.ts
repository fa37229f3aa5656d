import { link, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { examinePackage, run } from "./sdk-package.ts";

/**
 * `bun run sdk`: builds sdk/ for publishing from the OpenAPI document: openapi.json, ESM, CommonJS and types, and examines the
 * package. Does nothing if it was built from the same sources. Test processes call this side by side, so one builds and the
 * others wait for it.
 */
const root = join(import.meta.dir, "..");
const sdk = join(root, "sdk");
const LOCK = join(sdk, ".build.lock");
/** The hash of the sources, and below it what was found. */
const STAMP = join(sdk, "src/generated/.built-from");
/** The last file that is written. */
const LAST = join(sdk, "dist/cjs/package.json");

/** @returns what there is to say of the package. */
async function build(openapi: string): Promise<string> {
  await Bun.write(join(sdk, "openapi.json"), openapi);
  // A separate toolchain: the generator needs an older TypeScript than the service.
  await run(sdk, process.execPath, "install", "--frozen-lockfile");
  await Promise.all(
    ["dist", "src/generated"].map((one) => rm(join(sdk, one), { recursive: true, force: true })),
  );
  await run(sdk, process.execPath, "generate.ts");
  const tsc = join(sdk, "node_modules/typescript/bin/tsc");
  await run(sdk, process.execPath, tsc);
  await run(
    sdk,
    process.execPath,
    tsc,
    "--module",
    "CommonJS",
    "--moduleResolution",
    "Node10",
    "--outDir",
    "dist/cjs",
  );
  await Bun.write(LAST, '{ "type": "commonjs" }\n');
  return await examinePackage(sdk);
}

/** A hash of everything that the package is made of. */
async function hashOfSources(openapi: string): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256").update(openapi);
  // Bun 1.4.5 finds nothing by both patterns in one, `{*.*,src/**}`.
  const files = (
    await Promise.all(["*.*", "src/**"].map((one) => Array.fromAsync(new Bun.Glob(one).scan({ cwd: sdk }))))
  ).flat();
  for (const file of files.filter((one) => !/^(openapi\.json|src\/generated\/|.*\.tgz$)/.test(one)).sort())
    hash.update(`\0${file}\0`).update(await readFile(join(sdk, file)));
  for (const file of [import.meta.path, join(import.meta.dir, "sdk-package.ts"), join(root, "LICENSE")])
    hash.update(await readFile(file));
  return hash.digest("hex");
}

/** Waits while another process that is alive builds. @returns what gives the lock back. */
async function takeLock(): Promise<() => Promise<void>> {
  const mine = `${LOCK}.${process.pid}`;
  await Bun.write(mine, String(process.pid));
  try {
    for (;;) {
      try {
        await link(mine, LOCK);
        return () => rm(LOCK);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const owner = Number(await readFile(LOCK, "utf8").catch(() => ""));
      if (owner > 0 && !isAlive(owner)) await rm(LOCK, { force: true });
      await Bun.sleep(100);
    }
  } finally {
    await rm(mine);
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

const openapi = await run(root, process.execPath, "src/main.ts", "print-openapi");
const giveBack = await takeLock();
let report: string;
try {
  const wanted = await hashOfSources(openapi);
  const stamp = (await Bun.file(LAST).exists()) ? await readFile(STAMP, "utf8").catch(() => "") : "";
  if (stamp.startsWith(`${wanted}\n`)) report = stamp.slice(wanted.length + 1);
  else {
    report = await build(openapi);
    await Bun.write(STAMP, `${wanted}\n${report}`);
  }
} finally {
  await giveBack();
}
process.stdout.write(`sdk/ is built: sdk/dist/esm, sdk/dist/cjs, sdk/openapi.json\n${report}\n`);
