import { expect, test } from "bun:test";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bootId } from "../../../src/sandboxes/process/identity.ts";
import { readNamespace } from "../../../src/sandboxes/process/namespace.ts";
import { processFiles } from "../../../src/sandboxes/process/supervisor.ts";
import { removeFolder } from "../../harness/remove-folder.ts";

// After a restart of the machine, PID 1 of some other container may have the id and the inode of a sandbox's.
test("a namespace of an earlier boot is nobody's: it is neither killed nor measured", async () => {
  const sandbox = await mkdtemp(join(tmpdir(), "pb-namespace-"));
  try {
    const files = processFiles(sandbox, crypto.randomUUID());
    await Bun.$`mkdir ${files.folder}`;
    await writeFile(files.info, JSON.stringify({ "child-pid": 7, "pid-namespace": 8 }));
    await writeFile(files.boot, bootId());
    expect(await readNamespace(files)).toEqual({ init: 7, inode: 8 });
    await writeFile(files.boot, crypto.randomUUID());
    expect(await readNamespace(files)).toBeUndefined();
  } finally {
    await removeFolder(sandbox);
  }
});
