import { expect, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { probeIsolation } from "../../../src/sandboxes/isolation/probe.ts";

// The probe read stderr to its end, which a child of the program kept open: start-up hung.
test("a bubblewrap that fails and leaves a child behind does not block the probe", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-probe-"));
  try {
    await writeFile(join(folder, "bwrap"), "#!/bin/sh\necho no namespaces >&2\nsleep 60 &\nexit 1\n");
    await chmod(join(folder, "bwrap"), 0o755);
    const path = `${folder}:${process.env["PATH"]}`;
    const { isolation, missing } = await probeIsolation({ path, dataDir: folder, uids: { first: 200_000 } });
    expect(isolation).toBeUndefined();
    expect(missing[0]?.why).toContain("no namespaces");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 20_000);
