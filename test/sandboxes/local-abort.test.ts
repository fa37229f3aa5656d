import { expect, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localSandboxes } from "../../src/sandboxes/local.ts";
import type { Machine } from "../../src/sandboxes/machine.ts";
import { openPreparedStore } from "../../src/sandboxes/prepared-store.ts";
import type { Sandbox } from "../../src/sandboxes/sandbox.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { never, pushRecord, unpushedRecord } from "./fixture.ts";

const NOTHING_KEPT = openPreparedStore({ dataDir: "/nowhere", maxBytes: 0 });
const CONFIG = { provider: "local", id: "11111111-1111-4111-8111-111111111111", host: "here" } as const;
const REQUEST = {
  sessionId: "s",
  repo: "o/n",
  targetBranch: "main",
  branch: "b",
  startCommit: null,
  began: null,
  pushes: pushRecord(),
  unpushed: unpushedRecord(),
};

/** A sandbox whose programs are these. */
async function withSandbox<T>(
  fake: { killAll?: () => void; launch: () => object },
  work: (sandbox: Sandbox) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "pb-abort-"));
  try {
    const paths = { checkout: folder, home: folder, tmp: folder, state: folder };
    const machine = {
      host: "here",
      author: { name: "n", email: "e" },
      folderOf: () => folder,
      readStart: async () => "abc",
      pathsOf: () => paths,
      insideOf: () => paths,
      spaceOf: () => ({ id: "", folder, state: folder }),
      makeFolders: async () => undefined,
      disk: { enforced: true, watch: () => ({ stop: () => undefined }), explains: async () => false },
      require: async () => undefined,
      repositoryFor: () => ({ hasLfs: false }),
      killAll: async () => fake.killAll?.(),
      launch: () => ({ output: join(folder, "out"), ...fake.launch() }),
    } as unknown as Machine;
    const sandbox = await localSandboxes(machine, NOTHING_KEPT).reopen(CONFIG, REQUEST);
    return await work(sandbox as Sandbox);
  } finally {
    await removeFolder(folder);
  }
}

// The listener was added after the old processes had been killed: an abort meanwhile left the packing running.
test("an abort while old processes are killed stops the packing", async () => {
  const controller = new AbortController();
  const exit = Promise.withResolvers<object>();
  const fake = {
    killAll: () => controller.abort(new Error("cancelled")),
    launch: () => ({
      exit: exit.promise,
      stop: async () => exit.resolve({ code: null, signal: "SIGKILL", stderr: "", lost: false }),
    }),
  };
  const message = await withSandbox(fake, (sandbox) =>
    sandbox.deliverWork("message", controller.signal).catch((error: Error) => error.message),
  );
  expect(message).toBe("cancelled");
}, 10_000);

// Eight tries of ten minutes each held a slot long after the run's own time limit.
// So did a filter that filled the memory of its run: it was killed eight times.
test.each([
  ["killed by its time limit", 10 * 60_000, undefined, false],
  ["killed before", 60_000, undefined, true],
  ["killed for its memory", 60_000, "memory", false],
])("a packing that was %s: transient %#", async (_, ageMs, exceeded, transient) => {
  const ended = { code: null, signal: "SIGKILL", stderr: "", lost: false };
  const usage = async () => ({ exceeded });
  const fake = { launch: () => ({ exit: Promise.resolve(ended), ageMs: () => ageMs, usage }) };
  await withSandbox(fake, async (sandbox) => {
    await expect(sandbox.deliverWork("message", never)).rejects.toMatchObject({ transient });
  });
});
