import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { lockDataDir } from "../src/db/data-dir-lock.ts";
import { run } from "./program.ts";
import { examinePackage } from "./sdk-package.ts";

/**
 * `bun run sdk`: builds sdk/ for publishing from the OpenAPI document: openapi.json, ESM, CommonJS and types, and examines the
 * package. Does nothing if it was built from the same sources. Test processes call this side by side, so one builds and the
 * others wait for it.
 */
const root = join(import.meta.dir, "..");
const sdk = join(root, "sdk");
/** Locked as a DATA_DIR is. */
const LOCK = join(root, ".cache/sdk-build");
/** The hash of the sources, and below it what was found. */
const STAMP = join(sdk, "src/generated/.built-from");
/** The last file that is written. */
const LAST = join(sdk, "dist/cjs/package.json");

/** @returns what there is to say of the package. */
async function build(openapi: string): Promise<string> {
  await Bun.write(join(sdk, "openapi.json"), openapi);
  // A separate toolchain: the generator needs an older TypeScript than the service.
  await run([process.execPath, "install", "--frozen-lockfile"], { cwd: sdk });
  await Promise.all(
    ["dist", "src/generated"].map((one) => rm(join(sdk, one), { recursive: true, force: true })),
  );
  await run([process.execPath, "generate.ts"], { cwd: sdk });
  const tsc = join(sdk, "node_modules/typescript/bin/tsc");
  await run([process.execPath, tsc], { cwd: sdk });
  const commonJs = ["--module", "CommonJS", "--moduleResolution", "Node10", "--outDir", "dist/cjs"];
  await run([process.execPath, tsc, ...commonJs], { cwd: sdk });
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

/** Waits while another process builds. @returns what gives the lock back; the kernel does if this process is killed. */
async function takeLock(): Promise<() => void> {
  for (;;) {
    try {
      return lockDataDir(LOCK);
    } catch (error) {
      if ((error as { cause?: { code?: string } }).cause?.code !== "SQLITE_BUSY") throw error;
    }
    await Bun.sleep(100);
  }
}

const openapi = await run([process.execPath, "src/main.ts", "print-openapi"], { cwd: root });
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
  giveBack();
}
process.stdout.write(`sdk/ is built: sdk/dist/esm, sdk/dist/cjs, sdk/openapi.json\n${report}\n`);
