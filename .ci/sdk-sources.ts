import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { oneAtATime } from "./lock.ts";
import { run } from "./program.ts";

const root = join(import.meta.dir, "..");
export const sdk = join(root, "sdk");
const GENERATOR = "@hey-api/openapi-ts";
/** The hash of what the sources were generated from. */
const STAMP = join(sdk, "src/generated/.generated-from");

/**
 * Generates sdk/src/generated from the OpenAPI document, unless it is current. Processes call this side by side, so one works
 * and the others wait for it.
 * @param work done before another process may generate. @returns what it returns.
 */
export async function withSdkSources<Result>(work: (openapi: string) => Promise<Result>): Promise<Result> {
  const openapi = await run([process.execPath, "src/main.ts", "print-openapi"], { cwd: root });
  return oneAtATime("sdk-build", async () => {
    await generate(openapi);
    return work(openapi);
  });
}

async function generate(openapi: string): Promise<void> {
  const hash = new Bun.CryptoHasher("sha256").update(openapi);
  for (const file of ["generate.ts", "package.json", "bun.lock"])
    hash.update(await readFile(join(sdk, file)));
  const wanted = hash.digest("hex");
  if ((await readFile(STAMP, "utf8").catch(() => "")) === wanted) return;
  await Bun.write(join(sdk, "openapi.json"), openapi);
  // A separate toolchain: the generator needs an older TypeScript than the service. Where Nix builds, it is there already.
  if (!(await generatorIsInstalled()))
    await run([process.execPath, "install", "--frozen-lockfile"], { cwd: sdk });
  await rm(join(sdk, "src/generated"), { recursive: true, force: true });
  await run([process.execPath, "generate.ts"], { cwd: sdk });
  await Bun.write(STAMP, wanted);
}

async function generatorIsInstalled(): Promise<boolean> {
  const read = (path: string) => readFile(join(sdk, path), "utf8").then(JSON.parse, () => undefined);
  const [wanted, installed] = await Promise.all([
    read("package.json"),
    read(`node_modules/${GENERATOR}/package.json`),
  ]);
  return wanted.devDependencies[GENERATOR] === installed?.version;
}
