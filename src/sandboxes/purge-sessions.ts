import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import type { Git } from "./git/git.ts";
import { removeTree } from "./remove-tree.ts";

const SESSION = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const DAY_MS = 86_400_000;
/** Loose objects that no ref leads to go when they are so old; younger ones may belong to a fetch under way. */
const PRUNE_AFTER = "14.days.ago";

/**
 * Removes what sessions that no longer exist left in this DATA_DIR: what agents remember of the conversation, and the
 * branches in our copies of the repositories. Each machine looks at its own folders, so that none is missed, whichever
 * machine removed the rows.
 *
 * Nothing is removed where the folder belongs to another database (somebody tries out a second one on the same
 * DATA_DIR): there, no session would be known.
 * @param options.database tells the database from others.
 * @param options.days only sessions that were made longer ago can be gone for good.
 * @param options.known which of these sessions there are.
 */
export async function forgetSessions(options: {
  dataDir: string;
  git: Git;
  database: string;
  days: number;
  known: (ids: readonly string[]) => Promise<ReadonlySet<string>>;
  logger: Logger;
  signal: AbortSignal;
}): Promise<{ conversations: number; branches: number }> {
  const { dataDir, git, database, days, known, logger, signal } = options;
  const none = { conversations: 0, branches: 0 };
  const owner = await ownerOf(dataDir, database);
  if (owner !== database) {
    logger.warn(
      "DATA_DIR belongs to another database: what deleted sessions left in it stays. If that one is gone, remove its database-id file",
      { data_dir: dataDir },
    );
    return none;
  }
  const before = Date.now() - days * DAY_MS;
  /** Listed first, asked about then: a session is recorded before it gets a folder. */
  const gone = async (ids: readonly string[]) => {
    const old = [...new Set(ids)].filter((id) => SESSION.test(id) && madeAt(id) < before);
    const alive = old.length > 0 ? await known(old) : new Set();
    return old.filter((id) => !alive.has(id));
  };
  /** What cannot be removed now must not keep the rest; the next time tries again. */
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
  for (const id of await gone(await namesIn(folder)))
    conversations += await attempt("a conversation", () => removeTree(join(folder, id)));

  let branches = 0;
  for (const name of await namesIn(join(dataDir, "repos"))) {
    if (!/^[0-9a-f]{32}\.git$/.test(name)) continue;
    const cwd = join(dataDir, "repos", name);
    await attempt("a repository's branches", async () => {
      const listing = await git(["for-each-ref", "--format=%(refname)", "refs/sessions"], { cwd, signal });
      const refs = Map.groupBy(listing.split("\n").filter(Boolean), (ref) => ref.split("/")[2] ?? "");
      let removed = 0;
      for (const id of await gone([...refs.keys()]))
        for (const ref of refs.get(id) ?? [])
          removed += await attempt("a branch", () => git(["update-ref", "-d", ref], { cwd, signal }));
      branches += removed;
      if (removed > 0) await git(["prune", `--expire=${PRUNE_AFTER}`], { cwd, signal });
    });
  }
  return { conversations, branches };
}

/** Whose sessions this DATA_DIR has: the first database that asks. */
async function ownerOf(dataDir: string, database: string): Promise<string> {
  const file = join(dataDir, "database-id");
  await writeFile(file, `${database}\n`, { flag: "wx" }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  return (await readFile(file, "utf8")).trim();
}

/** Milliseconds since 1970: a UUIDv7 begins with them. */
const madeAt = (id: string) => Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16);

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
