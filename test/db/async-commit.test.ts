import { expect, setDefaultTimeout, test } from "bun:test";
import { fdatasyncSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { rowsOf } from "../../src/db/client.ts";
import { openMigrated } from "../harness/embedded.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

// A claim and its sandbox's record each waited for the disk before the agent was started.
test("an asynchronous commit does not wait for the disk, and what is read with it is not older", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-async-commit-"));
  const disk = Promise.withResolvers<void>();
  let slow = false;
  const syncData = async (fd: number) => {
    if (slow) await disk.promise;
    fdatasyncSync(fd);
  };
  const database = await openMigrated(folder, { syncData });
  try {
    const { orm, asyncCommit } = database;
    await orm.execute(sql`create table entries (id int primary key)`);
    slow = true;
    let stored = false;
    const waiting = orm.execute(sql`insert into entries values (1)`).then(() => {
      stored = true;
    });
    await asyncCommit.transaction((tx) => tx.execute(sql`insert into entries values (2)`));
    expect(await rowsOf<{ id: number }>(asyncCommit, sql`select id from entries order by id`)).toEqual([
      { id: 1 },
      { id: 2 },
    ]);
    expect(stored).toBe(false);
    disk.resolve();
    await waiting;
  } finally {
    disk.resolve();
    await database.close();
    await removeFolder(folder);
  }
});
