import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { itemsOf } from "../../src/backup/contents.ts";
import { openSecretKeys } from "../../src/projects/keys.ts";

test("a backup has the sealed secrets, and neither the key that opens them nor prepared checkouts", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-backup-key-"));
  try {
    const keys = openSecretKeys({ dataDir: folder, secretsKeys: undefined });
    keys.seal({ projectId: crypto.randomUUID(), name: "TOKEN" }, "value");
    await Bun.write(join(folder, "provenance.key"), "kept");
    // What making one has left where it was killed, and a cache, whose names a key protects.
    for (const other of ["secrets.key.4242.0123456789ab", "prepared.key", "prepared/about.json"])
      await Bun.write(join(folder, other), "left out");
    const items = await Array.fromAsync(itemsOf({ folder, live: true }));
    expect(items.map(({ path }) => path)).toEqual(["provenance.key"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
