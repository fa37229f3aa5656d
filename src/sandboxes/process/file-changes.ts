import { type FSWatcher, watch } from "node:fs";
import { sleep } from "../../shared/time.ts";

/** How often readers look without being notified: with a working watch (it should never miss a change), and without. */
const FALLBACK_MS = 1_000;
const POLL_MS = 100;
/** Changes within this time of the last notification become one: a chatty program must not cause a read per write. */
const COALESCE_MS = 4;

/** Tells one reader of a file when to look again. */
export interface FileChanges {
  /** Changes so far. Take the number BEFORE looking: then no change gets lost between looking and waiting. */
  count(): number;
  /** Waits until there was another change than the first `seen`, or it is time to look anyway. Never rejects. */
  after(seen: number): Promise<void>;
  /** Makes the reader look now. */
  wake(): void;
}

export interface FolderWatch {
  /** @param name of a file directly in the folder; it need not exist yet. */
  changesOf(name: string): FileChanges;
  /** Releases the watch and wakes all readers; from then on none of them waits. Idempotent. */
  close(): void;
}

/**
 * Watches a folder's files with inotify. Where that does not work (the limits of inotify are reached, the file system
 * does not support it), readers poll.
 * @param options.fallbackMs how often readers look although nothing was reported.
 */
export function watchFolder(folder: string, { fallbackMs = FALLBACK_MS } = {}): FolderWatch {
  const files = new Map<string, FileChanges>();
  let closed = false;
  const wakeAll = () => {
    for (const file of files.values()) file.wake();
  };
  let watcher = startWatch(
    folder,
    (name) => (name === null ? wakeAll() : files.get(name)?.wake()),
    () => {
      watcher = undefined;
      wakeAll();
    },
  );

  const create = (): FileChanges => {
    const waiting = new Set<() => void>();
    let changes = 0;
    let wokenAt = Number.NEGATIVE_INFINITY;
    return {
      count: () => changes,
      async after(seen) {
        const tooSoon = COALESCE_MS - (performance.now() - wokenAt);
        if (tooSoon > 0 && !closed) await sleep(tooSoon);
        if (changes === seen && !closed) {
          // Not a sleep with a signal: aborting it makes an error, with its stack, for each line of an agent.
          const { promise, resolve } = Promise.withResolvers<void>();
          const timer = setTimeout(resolve, watcher ? fallbackMs : POLL_MS);
          waiting.add(resolve);
          await promise;
          waiting.delete(resolve);
          clearTimeout(timer);
        }
        wokenAt = performance.now();
      },
      wake() {
        changes += 1;
        for (const wake of waiting) wake();
      },
    };
  };

  return {
    changesOf(name) {
      const known = files.get(name) ?? create();
      files.set(name, known);
      return known;
    },
    close() {
      closed = true;
      watcher?.close();
      watcher = undefined;
      wakeAll();
    },
  };
}

/** Undefined where the folder cannot be watched. */
function startWatch(
  folder: string,
  onChange: (name: string | null) => void,
  onFailure: () => void,
): FSWatcher | undefined {
  try {
    // Not persistent: a watch alone must not keep this process running.
    const watcher = watch(folder, { persistent: false }, (_event, name) => onChange(name));
    watcher.on("error", () => {
      watcher.close();
      onFailure();
    });
    return watcher;
  } catch {
    return undefined;
  }
}
