import { rm } from "node:fs/promises";
import { join } from "node:path";

/** `bun run sdk`: builds sdk/ for publishing from the OpenAPI document: openapi.json, ESM, CommonJS and types. */
const root = join(import.meta.dir, "..");
const sdk = join(root, "sdk");

async function run(cwd: string, ...argv: string[]): Promise<string> {
  const child = Bun.spawn(argv, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${argv.join(" ")} failed with exit code ${code}:\n${out}${err}`);
  return out;
}

await Bun.write(join(sdk, "openapi.json"), await run(root, process.execPath, "src/main.ts", "print-openapi"));
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
await Bun.write(join(sdk, "dist/cjs/package.json"), '{ "type": "commonjs" }\n');
process.stdout.write("sdk/ is built: sdk/dist/esm, sdk/dist/cjs, sdk/openapi.json\n");
