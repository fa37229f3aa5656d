import { expect, setDefaultTimeout, test } from "bun:test";
import { lstatSync, readdirSync } from "node:fs";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(3 * SLOW_TEST_TIMEOUT_MS);

/** What programs in sandboxes, which are other users, must enter or read. DATA_DIR itself is closed to all others. */
const SHARED = /^(repos|git|sandbox-etc|sandboxes)(\/|$)/;

// The database's files were 0666, and DATA_DIR stayed open where it had been made so.
test("after a start, others can neither read nor write what is in DATA_DIR", async () => {
  await using deployment = await createDeployment("embedded", { first: true });
  await mkdir(deployment.dataDir);
  await chmod(deployment.dataDir, 0o755);
  await using backend = await startBackend(deployment, { env: { AUTH_MODE: "local" } });
  expect((await backend.request("GET", "/health")).status).toBe(200);
  const open = ["", ...readdirSync(deployment.dataDir, { recursive: true, encoding: "utf8" })]
    .filter((path) => !SHARED.test(path))
    .map((path) => [path, lstatSync(join(deployment.dataDir, path), { throwIfNoEntry: false })] as const)
    .filter(([, found]) => found && !found.isSymbolicLink() && (found.mode & 0o077) !== 0)
    .map(([path, found]) => `${path} ${((found?.mode ?? 0) & 0o777).toString(8)}`);
  expect(open).toEqual([]);
});
