import { afterAll, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../../src/observability/logger.ts";
import type { QuotaMethod } from "../../../src/sandboxes/disk/quotas.ts";
import { watchedSpaces } from "../../../src/sandboxes/disk/watched.ts";
import { removeFolder } from "../../harness/remove-folder.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { until } from "../../harness/until.ts";
import { LIMIT, pathWithout } from "./fixture.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

const scratch = await mkdtemp(join(tmpdir(), "pb-watched-"));
afterAll(() => removeFolder(scratch));

/**
 * A sandbox that is only watched.
 * @param options.du the script that walks it. @param options.root on the disk whose free space is asked for.
 */
async function watchedSpace(options: { du: string; root?: string; walkTimeoutMs?: number }) {
  const { du, root, ...limit } = options;
  const folder = await mkdtemp(join(scratch, "space-"));
  const path = await pathWithout(await mkdtemp(join(scratch, "bin-")), ["du"]);
  await writeFile(join(path, "du"), `#!/bin/sh\n${du}\n`, { mode: 0o755 });
  const method: QuotaMethod = {
    ...{ kind: "watch", detail: "", enforced: false },
    ...{ open: async () => undefined, release: async () => undefined },
    counted: async () => ({ bytes: 0, files: 0 }),
    walked: () => [folder],
    intact: async () => true,
  };
  const limits = { bytes: LIMIT, files: 1_000 };
  const logger = createLogger({ level: "silent" });
  const spaces = watchedSpaces({ method, root: root ?? folder, path, limits, logger, ...limit });
  return { folder, watch: (onFull: () => void) => spaces.watch({ id: "", folder, state: folder }, onFull) };
}

test("a tree that takes too long to walk over ends the run: it was walked over again and again, unwatched", async () => {
  const space = await watchedSpace({ du: "exec sleep 600", walkTimeoutMs: 100 });
  const full = Promise.withResolvers<void>();
  space.watch(full.resolve);
  await full.promise;
});

/**
 * Fills a sandbox that is only watched, once it was walked over for the first time. @returns when it is noticed.
 * @param options.du what each walk begins with.
 */
async function fillWatched({ du = "", root }: { root?: string; du?: string }): Promise<void> {
  const walked = join(await mkdtemp(join(scratch, "walked-")), "log");
  const walk = `${du}\n${Bun.which("du")} "$@"\necho >> ${walked}`;
  const { folder, watch } = await watchedSpace({ du: walk, ...(root !== undefined && { root }) });
  let full = false;
  watch(() => {
    full = true;
  });
  // Bytes and files are counted at the same time.
  await until(async () => (await Bun.file(walked).text()).length >= 2, {
    what: "the first walk",
    timeoutMs: SLOW_TEST_TIMEOUT_MS,
  });
  // More and more: others on this disk may free some of it.
  const piece = crypto.getRandomValues(Buffer.alloc(65_536)).toString("hex").repeat(160);
  for (let n = 0; !full; n += 1) {
    if (n < 20) await writeFile(join(folder, `large-${n}`), piece);
    await Bun.sleep(100);
  }
}

test("who fills the disk is noticed by its free space, before the next walk is due", async () => {
  // Walks that take 5 s are made every 100 s.
  await fillWatched({ du: "sleep 5" });
});

test("who uses what others have freed is noticed by the walks, which are repeated", async () => {
  // The free space of another disk: it does not change.
  await fillWatched({ root: "/dev" });
});
