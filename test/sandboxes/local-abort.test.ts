import { expect, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localSandboxes } from "../../src/sandboxes/local.ts";
import type { Machine } from "../../src/sandboxes/machine.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { pushRecord } from "./fixture.ts";

const CONFIG = { provider: "local", id: "11111111-1111-4111-8111-111111111111", host: "here" } as const;
const REQUEST = { sessionId: "s", repo: "o/n", targetBranch: "main", branch: "b", pushes: pushRecord() };

// The listener was added after the old processes had been killed: an abort meanwhile left the packing running.
test("an abort while old processes are killed stops the packing", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pb-abort-"));
  try {
    const controller = new AbortController();
    const exit = Promise.withResolvers<object>();
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
      disk: { watch: () => ({ stop: () => undefined }) },
      require: async () => undefined,
      killAll: async () => controller.abort(new Error("cancelled")),
      launch: () => ({
        output: join(folder, "out"),
        exit: exit.promise,
        stop: async () => exit.resolve({ code: null, signal: "SIGKILL", stderr: "", lost: false }),
      }),
    } as unknown as Machine;
    const sandbox = await localSandboxes(machine).reopen(CONFIG, REQUEST);
    const delivered = sandbox?.deliverWork("message", controller.signal);
    expect(await delivered?.catch((error) => error.message)).toBe("cancelled");
  } finally {
    await removeFolder(folder);
  }
}, 10_000);
