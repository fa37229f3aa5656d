import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
let built: Promise<string> | undefined;

/** The executable of these sources: the one named by TEST_BINARY, else built once per test process, in 2 s. */
export function compiledBinary(): Promise<string> {
  built ??= build();
  return built;
}

async function build(): Promise<string> {
  const given = process.env["TEST_BINARY"];
  if (given) return given;
  const folder = await mkdtemp(join(tmpdir(), "pb-binary-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const outfile = join(folder, "prompt-backend");
  const child = Bun.spawn([process.execPath, join(ROOT, ".ci/build.ts"), "--outfile", outfile], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`the executable could not be built:\n${out}\n${err}`);
  return outfile;
}
