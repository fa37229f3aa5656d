import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFile, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FolderWatch, watchFolder } from "../../../src/sandboxes/process/file-changes.ts";
import { readJournal } from "../../../src/sandboxes/process/journal.ts";
import { until } from "../../harness/until.ts";
import { inotifyWatches } from "./inotify.ts";

/** Far longer than a test: what arrives was reported by the watch. */
const NEVER_MS = 600_000;
const PROMPT_MS = 2_000;

let folder: string;
let watch: FolderWatch | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-changes-"));
});
afterEach(async () => {
  watch?.close();
  await rm(folder, { recursive: true });
});

test("a line arrives promptly, although the fallback is far away", async () => {
  const file = join(folder, "out");
  await writeFile(file, "");
  watch = watchFolder(folder, { fallbackMs: NEVER_MS });
  const stop = new AbortController();
  const changes = watch.changesOf("out");
  let waiting = false;
  const after = async (seen: number) => {
    waiting = true;
    await changes.after(seen);
    waiting = false;
  };
  const lines = readJournal({
    file,
    from: 0,
    ended: () => false,
    changes: { count: changes.count, after },
    signal: stop.signal,
  });
  for (const text of ["one", "two", "three"]) {
    const next = lines.next();
    await until(() => waiting, { what: "the reader to wait at the end of the file" });
    const begin = performance.now();
    await appendFile(file, `${text}\n`);
    expect((await next).value?.line).toBe(text);
    expect(performance.now() - begin).toBeLessThan(PROMPT_MS);
  }
  stop.abort();
  await lines.return(undefined);
});

test("a file that is moved into the folder is a change of its name; others are not", async () => {
  watch = watchFolder(folder, { fallbackMs: NEVER_MS });
  const [exit, other] = [watch.changesOf("exit"), watch.changesOf("other")];
  const seen = exit.count();
  const moved = exit.after(seen);
  await writeFile(join(folder, "exit.new"), "0\n");
  expect(exit.count()).toBe(seen);
  await rename(join(folder, "exit.new"), join(folder, "exit"));
  await moved;
  expect(exit.count()).toBeGreaterThan(seen);
  expect(other.count()).toBe(0);
});

test("a change between looking and waiting is not lost", async () => {
  watch = watchFolder(folder, { fallbackMs: NEVER_MS });
  const changes = watch.changesOf("out");
  const seen = changes.count();
  await writeFile(join(folder, "out"), "x");
  await until(() => changes.count() > seen, { what: "the change" });
  await changes.after(seen);
});

test("many changes are few notifications", async () => {
  watch = watchFolder(folder, { fallbackMs: NEVER_MS });
  const changes = watch.changesOf("out");
  let [looks, done] = [0, false];
  const reading = (async () => {
    for (; !done; looks += 1) await changes.after(changes.count());
  })();
  const begin = performance.now();
  for (let n = 0; n < 2_000; n += 1) {
    changes.wake();
    await Promise.resolve();
    if (n % 100 === 0) await Bun.sleep(1);
  }
  const elapsed = performance.now() - begin;
  done = true;
  watch.close();
  await reading;
  expect(looks).toBeLessThan(elapsed / 4 + 5);
});

test("without a watch it polls", async () => {
  // inotify's limits cannot be reached safely here; a folder that does not exist makes fs.watch throw, too.
  const before = inotifyWatches();
  watch = watchFolder(join(folder, "missing"), { fallbackMs: NEVER_MS });
  expect(inotifyWatches()).toBe(before);
  const changes = watch.changesOf("out");
  const begin = performance.now();
  await changes.after(changes.count());
  expect(performance.now() - begin).toBeLessThan(PROMPT_MS);
});

test("closing releases the watch and wakes all waiters", async () => {
  const before = inotifyWatches();
  watch = watchFolder(folder, { fallbackMs: NEVER_MS });
  expect(inotifyWatches()).toBe(before + 1);
  const changes = watch.changesOf("out");
  const waiting = changes.after(changes.count());
  watch.close();
  watch.close();
  await waiting;
  await changes.after(changes.count());
  expect(inotifyWatches()).toBe(before);
});
