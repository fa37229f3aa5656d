import { rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

/**
 * `bun run build [--outfile FILE] [--target bun-linux-arm64] [--entry FILE]`: compiles the executable.
 *
 * - Identifiers are not minified: with full --minify Elysia's macros break, and every route that uses one answers 500.
 * - Bytecode costs 8 MB and makes starting three times faster. It is specific to the architecture that it was compiled
 *   on, so cross builds do without.
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
  // Not overwritten in place: an older executable may be running from that file.
  rmSync(outfile, { force: true });
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
  const child = Bun.spawn([process.execPath, "build", ...flags, "--outfile", outfile, values.entry], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, NODE_ENV: "production" },
  });
  if ((await child.exited) !== 0) throw new Error(`bun build failed with exit code ${child.exitCode}`);
  const megabytes = (statSync(outfile).size / 1e6).toFixed(0);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${outfile}: ${megabytes} MB in ${seconds} s\n`);
}

await build(process.argv.slice(2));
