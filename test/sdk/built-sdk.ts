import { join, resolve } from "node:path";
import type * as Sdk from "../../sdk/dist/esm/index.js";

const ROOT = resolve(import.meta.dir, "../..");

/** The SDK as it is published, built from these sources. */
export async function builtSdk(): Promise<typeof Sdk> {
  await Bun.$`${process.execPath} ${join(ROOT, ".ci/sdk.ts")}`.cwd(ROOT).quiet();
  return await import("../../sdk/dist/esm/index.js");
}
