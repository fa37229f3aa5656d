import { expect, test } from "bun:test";
import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { probeIsolation } from "../../../src/sandboxes/isolation/probe.ts";

/** Probes a machine whose bubblewrap is this script. */
async function probeWith(script: string, timeoutMs?: number) {
  const folder = await mkdtemp(join(tmpdir(), "pb-probe-"));
  try {
    await writeFile(join(folder, "bwrap"), `#!/bin/sh\n${script}`);
    await chmod(join(folder, "bwrap"), 0o755);
    const path = `${folder}:${process.env["PATH"]}`;
    const options = { path, dataDir: folder, uids: { first: 200_000 }, ...(timeoutMs && { timeoutMs }) };
    const etc = async () => (await stat(join(folder, "sandbox-etc/etc/hosts"))).mtimeMs;
    const first = await probeIsolation(options);
    const before = await etc();
    const second = await probeIsolation(options);
    return { first, second, rewritten: (await etc()) !== before };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

// A machine under load was taken for one that cannot isolate.
test("a program that does not answer in time is tried again, with no less isolation", async () => {
  const slowOnce = `[ "$1" = --help ] && exit; [ -e "$0.tried" ] && exit; touch "$0.tried"; exec sleep 60\n`;
  const { first, second, rewritten } = await probeWith(slowOnce, 1_000);
  expect(first.isolation).toBeDefined();
  expect(first.detail).toBe(second.detail);
  // Files that sandboxes have mounted were empty for a moment whenever the retention task probed.
  expect(rewritten).toBe(false);
}, 20_000);

test("one that never answers is not tried with less isolation", async () => {
  const { first } = await probeWith(`[ "$1" = --help ] && exit; exec sleep 60\n`, 200);
  expect(first.missing[0]?.why).toContain("no answer in time");
}, 20_000);

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
