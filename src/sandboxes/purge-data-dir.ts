import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import type { Git } from "./git/git.ts";
import { DROP_REFS, DROP_SHARED, SESSION_REFS } from "./git/scripts.ts";
import { succeeded } from "./git/store-git.ts";
import { amongOthers, ifAlone } from "./git/store-lock.ts";
import { removeTree } from "./remove-tree.ts";

const SESSION = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const DAY_MS = 86_400_000;
/** The age at which unreachable objects are pruned; younger ones may belong to a fetch in progress. */
const PRUNE_AFTER = "14.days.ago";

export interface PurgeOptions {
  /** The id of the database. */
  database: string;
  /** Only sessions that were created longer ago than this can have been purged from the database. */
  days: number;
  /** Which of these sessions exist. */
  known: (ids: readonly string[]) => Promise<ReadonlySet<string>>;
  signal: AbortSignal;
}

/**
 * Purges what deleted sessions left in this DATA_DIR: transcripts, and branches in our copies of the repositories. Each
 * machine purges its own folders, whichever machine deleted the rows.
 *
 * Nothing is purged if DATA_DIR belongs to another database (someone tries out a second one): that one knows none of
 * the sessions.
 * @param options.refusal why git must not run here now: then branches wait for a later round.
 * @returns how many conversations and branches were removed.
 */
export async function purgeDataDir(
  options: PurgeOptions & {
    dataDir: string;
    git: Git;
    refusal: () => Promise<string | undefined>;
    logger: Logger;
  },
): Promise<{ conversations: number; branches: number }> {
  const { dataDir, git, refusal, database, days, known, logger, signal } = options;
  const none = { conversations: 0, branches: 0 };
  const owner = await ownerOf(dataDir, database);
  if (owner !== database) {
    logger.warn(
      "DATA_DIR belongs to another database, so nothing in it is purged. If that database is gone, remove the file database-id",
      { data_dir: dataDir },
    );
    return none;
  }
  const before = Date.now() - days * DAY_MS;
  /** Ask after listing: a session is recorded before it gets a folder. */
  const purgeable = async (ids: readonly string[]) => {
    const old = [...new Set(ids)].filter((id) => SESSION.test(id) && createdAt(id) < before);
    const existing = old.length > 0 ? await known(old) : new Set();
    return old.filter((id) => !existing.has(id));
  };
  /** One failure must not keep the rest from being purged; the next run retries. @returns 1 if it worked. */
  const attempt = async (what: string, work: () => Promise<unknown>) => {
    try {
      signal.throwIfAborted();
      await work();
      return 1;
    } catch (error) {
      if (!signal.aborted) logger.warn(`${what} could not be removed`, { error: messageOf(error) });
      return 0;
    }
  };

  const folder = join(dataDir, "conversations");
  let conversations = 0;
  for (const id of await purgeable(await namesIn(folder)))
    conversations += await attempt("a conversation", () => removeTree(join(folder, id)));

  let branches = 0;
  if ((await refusal()) !== undefined) return { conversations, branches };
  for (const name of await namesIn(join(dataDir, "repos"))) {
    if (!/^[0-9a-f]{32}\.git$/.test(name)) continue;
    const store = join(dataDir, "repos", name);
    const drop = async () => {
      // A store belongs to the user that git runs as, where programs have users of their own.
      const { uid } = await stat(store);
      const program = { store, storeWritable: true, local: false, uid };
      const listing = succeeded(await git({ ...program, script: SESSION_REFS, args: [] }, signal));
      const refs = Map.groupBy(listing.split("\n").filter(Boolean), (ref) => ref.split("/")[2] ?? "");
      const doomed = (await purgeable([...refs.keys()])).flatMap((id) => refs.get(id) ?? []);
      // A store that no session has any more shrinks as its objects grow old.
      if (doomed.length === 0 && refs.size > 0) return;
      const stdin = { text: doomed.map((ref) => `${ref}\n`).join("") };
      const deleted = await git({ ...program, script: DROP_REFS, args: [PRUNE_AFTER], stdin }, signal);
      branches += Number(succeeded(deleted)) || 0;
    };
    await attempt("a repository's branches", () => amongOthers(store, signal, drop));
    const { uid } = await stat(store);
    const program = { store, storeWritable: true, local: false, uid };
    await attempt("what checkouts shared of a repository", () =>
      ifAlone(store, async () => succeeded(await git({ ...program, script: DROP_SHARED, args: [] }, signal))),
    );
  }
  return { conversations, branches };
}

/** The database that this DATA_DIR belongs to: the first one that was used with it. */
async function ownerOf(dataDir: string, database: string): Promise<string> {
  const file = join(dataDir, "database-id");
  await writeFile(file, `${database}\n`, { flag: "wx" }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  return (await readFile(file, "utf8")).trim();
}

/** Milliseconds since 1970: a UUIDv7 starts with them. */
const createdAt = (id: string) => Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16);

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
