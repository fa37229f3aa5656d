import { expect, test } from "bun:test";
import { stat } from "node:fs/promises";
import { run } from "../../.ci/program.ts";
import { START_TIMEOUT_MS } from "./timeouts.ts";

test(
  "processes that need the executable side by side have the same one, built once",
  async () => {
    const script =
      'import { compiledBinary } from "./binary.ts"; process.stdout.write(await compiledBinary());';
    const built = async () => {
      const path = await run([process.execPath, "-e", script], {
        cwd: import.meta.dir,
        env: { TEST_BINARY: "" },
      });
      return { path, ino: (await stat(path)).ino };
    };
    const [one, other] = await Promise.all([built(), built()]);
    expect(other).toEqual(one);
    expect(await run([one.path, "--version"], { cwd: import.meta.dir })).toMatch(/^\d+\.\d+\.\d+/);
  },
  START_TIMEOUT_MS,
);
