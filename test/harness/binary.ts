import { readFile, rename } from "node:fs/promises";
import { join, resolve } from "node:path";
import { oneAtATime } from "../../.ci/lock.ts";
import { run } from "../../.ci/program.ts";

const ROOT = resolve(import.meta.dir, "../..");
const FOLDER = join(ROOT, ".cache/binary");
const BINARY = join(FOLDER, "prompt-backend");
/** Written last: the hash of the sources. */
const STAMP = join(FOLDER, ".built-from");
/** Everything that the executable is made of, besides packages, which bun.lock pins. */
const SOURCES = [
  "src/**",
  "drizzle/**",
  "sdk/src/**",
  "sdk/*.*",
  ".ci/*.ts",
  "patches/*",
  "*.json",
  "bun.lock",
];
/** What the build writes itself. */
const MADE = /^sdk\/(openapi\.json|src\/generated\/|.*\.tgz$)/;

/** The executable of these sources: the one named by TEST_BINARY, else built once for all test processes. */
export async function compiledBinary(): Promise<string> {
  const given = process.env["TEST_BINARY"];
  if (given) return given;
  return oneAtATime("binary", async () => {
    const wanted = await hashOfSources();
    if ((await readFile(STAMP, "utf8").catch(() => "")) !== wanted) {
      const draft = join(FOLDER, "draft");
      await run([process.execPath, join(ROOT, ".ci/build.ts"), "--outfile", draft], { cwd: ROOT });
      // At once: a test run of other sources may be starting the old one.
      await rename(draft, BINARY);
      await Bun.write(STAMP, wanted);
    }
    return BINARY;
  });
}

async function hashOfSources(): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for (const pattern of SOURCES) {
    const files = await Array.fromAsync(new Bun.Glob(pattern).scan({ cwd: ROOT }));
    for (const file of files.filter((one) => !MADE.test(one)).sort())
      hash.update(`\0${file}\0`).update(await readFile(join(ROOT, file)));
  }
  return hash.digest("hex");
}
