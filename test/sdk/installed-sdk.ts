import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { removeFolder } from "../harness/remove-folder.ts";

const ROOT = resolve(import.meta.dir, "../..");
export const SDK = join(ROOT, "sdk");

export interface InstalledSdk {
  /** A project that is empty otherwise. */
  project: string;
  /** Paths in the tarball. */
  files: readonly string[];
  /** What the build said. */
  report: string;
  remove(): Promise<void>;
}

/** The SDK as a user has it: packed, and installed from the package. */
export async function installedSdk(): Promise<InstalledSdk> {
  const report = await Bun.$`${process.execPath} ${join(ROOT, ".ci/sdk.ts")}`.cwd(ROOT).text();
  const project = await mkdtemp(join(tmpdir(), "pb-sdk-"));
  const packing = await Bun.$`npm pack --json --pack-destination ${project}`.cwd(SDK).quiet();
  const [{ filename, files }] = packing.json() as [{ filename: string; files: { path: string }[] }];
  await Bun.write(join(project, "package.json"), JSON.stringify({ name: "empty", private: true }));
  await Bun.$`npm install --silent --no-audit --no-fund ${join(project, filename)}`.cwd(project).quiet();
  return { project, files: files.map(({ path }) => path), report, remove: () => removeFolder(project) };
}
