import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs a program, and waits for its end. @returns what it prints. @throws if it fails. */
export async function run(cwd: string, ...argv: string[]): Promise<string> {
  const child = Bun.spawn(argv, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${argv.join(" ")} failed with exit code ${code}:\n${out}${err}`);
  return out;
}

/** Packs the built sdk/, and has the package examined. @returns what there is to say of it. @throws if anything is found. */
export async function examinePackage(sdk: string): Promise<string> {
  await copyFile(join(sdk, "../LICENSE"), join(sdk, "LICENSE"));
  const folder = await mkdtemp(join(tmpdir(), "pb-sdk-package-"));
  try {
    const packing = await run(sdk, "npm", "pack", "--json", "--pack-destination", folder);
    const [packed] = JSON.parse(packing) as [{ filename: string; size: number; unpackedSize: number }];
    const tarball = join(folder, packed.filename);
    const program = (name: string) => join(sdk, "node_modules/.bin", name);
    await run(sdk, program("publint"), "run", tarball, "--strict");
    await run(sdk, program("attw"), tarball, "--no-emoji", "--no-color");
    const { minified, gzipped } = await bundle(sdk, folder);
    return [
      "publint and Are The Types Wrong find nothing",
      `size: ${kB(packed.size)} packed, ${kB(packed.unpackedSize)} unpacked; in a bundle ${kB(minified)} minified, ${kB(gzipped)} gzipped`,
    ].join("\n");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The bytes that an application gets whose only import is the client. */
async function bundle(sdk: string, folder: string): Promise<{ minified: number; gzipped: number }> {
  const entry = join(folder, "entry.js");
  const module = JSON.stringify(join(sdk, "dist/esm/index.js"));
  await Bun.write(entry, `import { PromptBackend } from ${module};\nglobalThis.pb = PromptBackend;\n`);
  const { outputs } = await Bun.build({ entrypoints: [entry], target: "browser", minify: true });
  const code = new Uint8Array((await outputs[0]?.arrayBuffer()) ?? []);
  return { minified: code.length, gzipped: Bun.gzipSync(code, { level: 9 }).length };
}

const kB = (bytes: number) => `${(bytes / 1000).toFixed(bytes < 100_000 ? 1 : 0)} kB`;
