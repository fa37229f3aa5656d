import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./program.ts";
import { examinePackage } from "./sdk-package.ts";
import { sdk, withSdkSources } from "./sdk-sources.ts";

/**
 * `bun run sdk`: builds sdk/ for publishing from the OpenAPI document: openapi.json, ESM, CommonJS and types, and examines the
 * package. Does nothing if it was built from the same sources.
 */
const root = join(import.meta.dir, "..");
/** Written last, outside of the package: the hash of the sources, and below it what was found. */
const STAMP = join(root, ".cache/sdk-built-from");
/** The last file of the package that is written. */
const LAST = join(sdk, "dist/cjs/package.json");

/** @returns what there is to say of the package. */
async function build(): Promise<string> {
  await run([process.execPath, "install", "--frozen-lockfile"], { cwd: sdk });
  await rm(join(sdk, "dist"), { recursive: true, force: true });
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

const report = await withSdkSources(async (openapi) => {
  const wanted = await hashOfSources(openapi);
  const stamp = (await Bun.file(LAST).exists()) ? await readFile(STAMP, "utf8").catch(() => "") : "";
  if (stamp.startsWith(`${wanted}\n`)) return stamp.slice(wanted.length + 1);
  const found = await build();
  await Bun.write(STAMP, `${wanted}\n${found}`);
  return found;
});
process.stdout.write(`sdk/ is built: sdk/dist/esm, sdk/dist/cjs, sdk/openapi.json\n${report}\n`);
