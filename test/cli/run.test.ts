import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canMount, makeLoopDisk } from "../db/loop-disk.ts";
import { programArgv } from "../harness/backend.ts";
import { openMigrated } from "../harness/embedded.ts";
import { startProcess } from "../harness/process.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);
const body = JSON.stringify({
  repo: "owner/name",
  target_branch: "main",
  messages: [{ content: "x" }],
});

// The process used a processor for ever and answered nobody: whatever restarts services saw nothing.
test.if(canMount)("a service whose database the disk refuses to store ends with exit code 1", async () => {
  await using disk = await makeLoopDisk(400);
  const cwd = await mkdtemp(join(tmpdir(), "pb-run-"));
  try {
    const dataDir = join(disk.at, "data");
    await (await openMigrated(dataDir)).close();
    await using service = startProcess({
      argv: [...programArgv(), "server"],
      env: { DATA_DIR: dataDir, AUTH_MODE: "none", HOST: "127.0.0.1", PORT: "0" },
      cwd,
    });
    const [, url] = await service.waitForLine(/listens on (\S+)/, { timeoutMs: SLOW_TEST_TIMEOUT_MS });
    const headers = { "content-type": "application/json" };
    const create = () => fetch(`${url}/sessions/with-prompt`, { method: "POST", headers, body });
    expect((await create()).status).toBe(200);
    disk.die();
    // What is not stored must not be confirmed. The service may be gone already.
    expect(
      await create().then(
        ({ status }) => status >= 500,
        () => true,
      ),
    ).toBe(true);
    expect(await service.exit).toEqual({ code: 1, signal: null });
    expect(service.lines.join("\n")).toContain("the disk refuses the database's files");
  } finally {
    await removeFolder(cwd);
  }
});
