import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openControl } from "../../src/backup/control.ts";
import type { Database } from "../../src/db/client.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { sendRaw } from "../harness/raw-http.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

test("the control socket needs no Host, and refuses a malformed one", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "pb-control-"));
  const control = await openControl({
    dataDir,
    database: {} as Database,
    status: () => ({ pid: 1, version: "1.2.3", url: null }),
    logger: createLogger({ level: "silent" }),
  });
  const socket = join(dataDir, "control.sock");
  try {
    const reply = await sendRaw(socket, "GET /status HTTP/1.0\r\n\r\n");
    expect(JSON.parse(String(reply?.body))).toMatchObject({ version: "1.2.3" });
    expect((await sendRaw(socket, "GET /status HTTP/1.1\r\nHost: a b\r\n\r\n"))?.status).toBe(400);
  } finally {
    await control.close();
    removeFolder(dataDir);
  }
});
