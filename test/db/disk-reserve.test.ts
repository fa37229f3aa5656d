import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { freeReserve, keepReserve } from "../../src/db/disk-reserve.ts";
import { openEmbedded } from "../../src/db/embedded.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openMigrated } from "../harness/embedded.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { canMount, makeLoopDisk } from "./loop-disk.ts";

setDefaultTimeout(3 * SLOW_TEST_TIMEOUT_MS);
const logger = createLogger({ level: "silent" });
const path = process.env["PATH"] ?? "/usr/bin:/bin";

// An agent had filled the disk, and the embedded database could not start again.
test.if(canMount)("an embedded database on a full disk starts, because a reserve is given up", async () => {
  await using disk = await makeLoopDisk(1_000);
  const dataDir = join(disk.at, "data");
  await (await openMigrated(dataDir)).close();
  const reserve = keepReserve({ dataDir, path });
  await reserve.tried;
  reserve.stop();
  expect(statSync(join(dataDir, "reserve")).blocks * 512).toBeGreaterThanOrEqual(64 * 1024 ** 2);
  // With space, it is kept.
  freeReserve({ dataDir, logger });
  expect(existsSync(join(dataDir, "reserve"))).toBe(true);

  // It dies on the full disk; its log must be recovered at the next start.
  await Bun.$`${process.execPath} ${join(import.meta.dir, "fill-disk.ts")} ${dataDir}`.quiet().nothrow();
  freeReserve({ dataDir, logger });
  const database = await openEmbedded({ dataDir });
  await database.orm.execute(sql`create table goes_on as select generate_series(1, 1000) n`);
  await database.close();

  // While there is no space, none is made.
  const again = keepReserve({ dataDir, path });
  await again.tried;
  again.stop();
  expect(existsSync(join(dataDir, "reserve"))).toBe(false);
});
