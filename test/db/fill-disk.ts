/** Writes to the embedded database in the DATA_DIR that is its argument until the disk is full, then dies. */
import { sql } from "drizzle-orm";
import { openEmbedded } from "../../src/db/embedded.ts";

const [dataDir = ""] = process.argv.slice(2);
const database = await openEmbedded({ dataDir });
await Bun.$`cat /dev/zero > ${dataDir}/bomb`.quiet().nothrow();
try {
  await database.orm.execute(sql`create table if not exists filled (note text)`);
  for (;;)
    await database.orm.execute(
      sql`insert into filled select repeat(md5(n::text), 40) from generate_series(1, 1000) n`,
    );
} catch (error) {
  process.stderr.write(`${error}\n`);
}
process.kill(process.pid, "SIGKILL");
