import { expect, setDefaultTimeout, test } from "bun:test";
import { sql } from "drizzle-orm";
import { rowsOf } from "../../src/db/client.ts";
import { openEmbedded } from "../../src/db/embedded.ts";
import { openMigrated } from "../harness/embedded.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { canMount, makeLoopDisk } from "./loop-disk.ts";

setDefaultTimeout(3 * SLOW_TEST_TIMEOUT_MS);

// PGlite runs PostgreSQL with fsync off, and Emscripten's files have none: a committed row was in memory only.
test.if(canMount)("the embedded database keeps what was committed before a power failure", async () => {
  await using disk = await makeLoopDisk(400);
  const database = await openMigrated(disk.at);
  try {
    await database.orm.execute(sql`create table kept (id int primary key, note text)`);
    await Bun.$`sync -f ${disk.at}`.quiet();
    await database.orm.execute(sql`insert into kept values (1, 'a statement')`);
    await database.orm.transaction((tx) => tx.execute(sql`insert into kept values (2, 'a transaction')`));
    await Promise.all(
      [3, 4, 5].map((id) => database.orm.execute(sql`insert into kept values (${id}, 'at the same time')`)),
    );
    await using after = await disk.afterPowerFailure();
    const recovered = await openEmbedded({ dataDir: after.at });
    try {
      const rows = await rowsOf<{ id: number }>(recovered.orm, sql`select id from kept order by id`);
      expect(rows.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5]);
    } finally {
      await recovered.close();
    }
  } finally {
    await database.close();
  }
});

test.if(canMount)("a listener hears only of what a power failure cannot undo", async () => {
  await using disk = await makeLoopDisk(400);
  const database = await openMigrated(disk.at);
  try {
    await database.orm.execute(sql`create table heard (id int primary key)`);
    await Bun.$`sync -f ${disk.at}`.quiet();
    const heard = Promise.withResolvers<void>();
    await database.listen("rows", () => heard.resolve());
    const inserted = database.orm.transaction(async (tx) => {
      await tx.execute(sql`insert into heard values (1)`);
      await tx.execute(sql`select pg_notify('rows', '1')`);
    });
    await heard.promise;
    await using after = await disk.afterPowerFailure();
    await inserted;
    const recovered = await openEmbedded({ dataDir: after.at });
    try {
      expect(await rowsOf(recovered.orm, sql`select id from heard`)).toHaveLength(1);
    } finally {
      await recovered.close();
    }
  } finally {
    await database.close();
  }
});
