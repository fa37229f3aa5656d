import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../../src/observability/logger.ts";
import { watchedSpaces } from "../../../src/sandboxes/disk/watched.ts";
import { removeFolder } from "../../harness/remove-folder.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { isRoot, LIMIT, pathWithout } from "./fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-measure-"));
  await chmod(folder, 0o755);
});
afterAll(() => removeFolder(folder));

/** Cause: one of them that was missing failed every measurement, and nobody heard of it. */
test.each([["unshare"], ["nice"]])("an ordinary user measures a tree without %s", async (missing) => {
  const tree = await mkdtemp(join(folder, "tree-"));
  await chmod(tree, 0o755);
  await writeFile(join(tree, "file"), Buffer.alloc(1_000_000, "x"));
  const path = await pathWithout(await mkdtemp(join(folder, "without-")), [missing]);
  await chmod(join(path, ".."), 0o755);
  const script = `import { createTreeMeter } from ${JSON.stringify(join(import.meta.dir, "../../../src/sandboxes/disk/measure.ts"))};
    const [path, tree] = process.argv.slice(-2);
    console.log((await createTreeMeter({ path })([tree])).bytes);`;
  const user = isRoot ? ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] : [];
  const child = Bun.spawn([...user, process.execPath, "-e", script, path, tree], {
    env: { PATH: process.env["PATH"] },
    stdio: ["ignore", "pipe", "inherit"],
  });
  expect(Number(await child.stdout.text())).toBeGreaterThan(999_999);
});

/** Cause: a failed measurement was repeated at every tick, without a word: RUN_DISK_MB was off. */
test("a sandbox that cannot be measured is reported, once", async () => {
  const lines: string[] = [];
  const logger = createLogger({ level: "warn", write: (line) => lines.push(line) });
  const path = await pathWithout(await mkdtemp(join(folder, "without-")), ["du"]);
  const walks = Promise.withResolvers<void>();
  let count = 0;
  const spaces = watchedSpaces({
    method: {
      ...{ kind: "watch", detail: "", enforced: false },
      open: async () => undefined,
      release: async () => undefined,
      intact: async () => true,
      counted: async () => ({ bytes: 0, files: 0 }),
      walked() {
        count += 1;
        if (count === 3) walks.resolve();
        return [folder];
      },
    },
    root: folder,
    path,
    limits: { bytes: LIMIT, files: 1_000 },
    logger,
  });
  const watch = spaces.watch({ id: "one", folder, state: folder }, () => undefined);
  await walks.promise;
  watch.stop();
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("RUN_DISK_MB");
  expect(lines[0]).toContain("du");
});
