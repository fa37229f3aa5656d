import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./program.ts";

/** Packs the built sdk/, and has the package examined. @returns what there is to say of it. @throws if anything is found. */
export async function examinePackage(sdk: string): Promise<string> {
  await copyFile(join(sdk, "../LICENSE"), join(sdk, "LICENSE"));
  const folder = await mkdtemp(join(tmpdir(), "pb-sdk-package-"));
  try {
    const packing = await run(["npm", "pack", "--json", "--pack-destination", folder], { cwd: sdk });
    const [packed] = JSON.parse(packing) as [{ filename: string; size: number; unpackedSize: number }];
    const tarball = join(folder, packed.filename);
    const program = (name: string) => join(sdk, "node_modules/.bin", name);
    await run([program("publint"), "run", tarball, "--strict"], { cwd: sdk });
    await run([program("attw"), tarball, "--no-emoji", "--no-color"], { cwd: sdk });
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
