import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { CONSOLE_LIST, consoleFiles } from "../src/server/console-files.ts";
import { compress, ENCODINGS, embeddedName, hashOf } from "../src/server/encoding.ts";
import { PACKAGE_FILES } from "../src/server/package-files.ts";
import { buildConsole } from "./console.ts";

/**
 * `bun run build [--outfile FILE] [--target bun-linux-arm64] [--entry FILE]`: compiles the executable.
 *
 * - Identifiers are not minified: with full --minify Elysia's macros break, and every route that uses one answers 500.
 * - Bytecode costs 8 MB and makes starting three times faster. It is specific to the architecture that it was compiled
 *   on, so cross builds do without.
 * - The web console is bundled first, and its files are embedded.
 * - Large assets are embedded compressed, too, so that no server does it again. Each is an entry of its own; the executable
 *   finds it by its name.
 * - The executable must ignore a `.env` or `bunfig.toml` in its working directory.
 */
async function build(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      outfile: { type: "string", default: "prompt-backend" },
      target: { type: "string" },
      entry: { type: "string", default: join(import.meta.dir, "../src/main.ts") },
    },
  });
  const outfile = resolve(values.outfile);
  const started = performance.now();
  const flags = [
    "--compile",
    "--minify-syntax",
    "--minify-whitespace",
    "--sourcemap",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    "--define",
    'process.env.NODE_ENV="production"',
    ...(values.target ? ["--target", values.target] : ["--bytecode", "--format=esm"]),
  ];
  mkdirSync(dirname(outfile), { recursive: true });
  const scratch = mkdtempSync(join(dirname(outfile), ".build-"));
  try {
    await buildConsole();
    const entries = [values.entry, ...(await consoleAssets(scratch)), ...(await compressAssets(scratch))];
    // Bun puts a source map of each entry beside it, which nobody needs: the executable has its own.
    const made = join(scratch, "out", basename(outfile));
    const child = Bun.spawn([process.execPath, "build", ...flags, "--outfile", made, ...entries], {
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, NODE_ENV: "production" },
    });
    if ((await child.exited) !== 0) throw new Error(`bun build failed with exit code ${child.exitCode}`);
    // Not overwritten in place: an older executable may be running from that file.
    renameSync(made, outfile);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  const megabytes = (statSync(outfile).size / 1e6).toFixed(0);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${outfile}: ${megabytes} MB in ${seconds} s\n`);
}

/** Writes the console's files as they are, and a list of them. @returns the files. */
async function consoleAssets(folder: string): Promise<string[]> {
  const stored: Record<string, string> = {};
  const files = [join(folder, `${CONSOLE_LIST}.bin`)];
  for (const { name, read } of (await consoleFiles()).values()) {
    const bytes = await read();
    const hash = hashOf(bytes);
    stored[name] = `${hash}-plain`;
    files.push(join(folder, `${stored[name]}.bin`), ...(await compressed(folder, bytes)));
    await Bun.write(join(folder, `${stored[name]}.bin`), bytes);
  }
  await Bun.write(join(folder, `${CONSOLE_LIST}.bin`), JSON.stringify(stored));
  return files;
}

/** @returns the compressed files. */
async function compressAssets(folder: string): Promise<string[]> {
  const files = Object.values(PACKAGE_FILES).map(async (path) =>
    compressed(folder, await Bun.file(path).bytes()),
  );
  return (await Promise.all(files)).flat();
}

const compressed = (folder: string, bytes: Uint8Array<ArrayBuffer>): Promise<string[]> =>
  Promise.all(
    ENCODINGS.map(async (encoding) => {
      const file = join(folder, `${embeddedName(hashOf(bytes), encoding)}.bin`);
      await Bun.write(file, await compress(bytes, encoding, "small"));
      return file;
    }),
  );

await build(process.argv.slice(2));
