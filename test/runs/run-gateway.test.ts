import { expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../src/observability/logger.ts";
import { openRunGateway } from "../../src/runs/run-gateway.ts";
import type { RunWriter } from "../../src/runs/writer.ts";
import type { Sandbox } from "../../src/sandboxes/sandbox.ts";
import { Secret } from "../../src/shared/secret.ts";
import { freeMeter } from "../harness/free-meter.ts";
import { noMetrics } from "../harness/metrics.ts";

/** The servers of this process on loopback, as the kernel lists them. */
async function listeners(): Promise<string[]> {
  const own = new Set(
    await Promise.all(
      (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")),
    ),
  );
  const rows = (await readFile("/proc/self/net/tcp", "utf8"))
    .split("\n")
    .map((row) => row.trim().split(/\s+/));
  const listening = rows.filter(
    ([, , , state, , , , , , inode]) => state === "0A" && own.has(`socket:[${inode}]`),
  );
  return listening.map(([, address]) => String(address)).toSorted();
}

// Each attempt on a full disk left two servers behind, with a token that was valid until the service ended.
test.if(process.platform === "linux")(
  "a gateway that cannot be noted is closed, and so is its way to the model",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "pb-notes-"));
    try {
      const before = await listeners();
      const opening = openRunGateway({
        // No folder: like a full disk, writing fails.
        sandbox: { notes: join(folder, "away", "notes.json"), remote: undefined } as Sandbox,
        isolation: { closedNetwork: false } as never,
        runId: "run",
        model: {
          api: "anthropic",
          upstream: "http://127.0.0.1:1",
          apiKey: new Secret("the-key"),
          meter: freeMeter,
        },
        egress: { mode: "deny", allow: undefined },
        writer: {} as RunWriter,
        metrics: noMetrics(),
        logger: createLogger({ level: "silent" }),
      });
      await expect(opening).rejects.toThrow("ENOENT");
      expect(await listeners()).toEqual(before);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);
