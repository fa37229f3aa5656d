import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LocalConfig } from "../db/json-columns.ts";
import { isPassing } from "./git/git-errors.ts";
import { packing } from "./git/packing.ts";
import type { Machine } from "./machine.ts";
import { removeTree } from "./remove-tree.ts";
import { type CheckoutRequest, RepositoryError, type Sandbox, type SandboxKind } from "./sandbox.ts";

/** Committing and packing the work of a run. */
const PACKING_LIMIT_MS = 10 * 60_000;

/** Sandboxes on this machine: the checkout is here, and the agent works in it. */
export function localSandboxes(machine: Machine): SandboxKind<LocalConfig> {
  /** Written last: a sandbox that has it is whole. */
  const startFile = (id: string) => join(machine.folderOf(id), "start");

  const sandboxOf = (config: LocalConfig, request: CheckoutRequest, start: string): Sandbox => {
    const { id } = config;
    const hostPaths = machine.pathsOf(id, request.sessionId);
    return {
      config,
      paths: machine.insideOf(hostPaths),
      hostPaths,
      notes: join(machine.folderOf(id), "notes.json"),
      start: (command, limitMs) => machine.launch(id, hostPaths, command, limitMs),
      attach: (record) => machine.attach(id, record),
      async collect(message, signal) {
        signal.throwIfAborted();
        // What an earlier runner began to pack, too.
        await machine.endAll(id);
        const { branch } = request;
        const command = packing({ message, start, branch, author: machine.author });
        const process = machine.launch(id, hostPaths, command, PACKING_LIMIT_MS);
        const onAbort = () => void process.stop(0);
        signal.addEventListener("abort", onAbort, { once: true });
        try {
          const { code, stderr } = await process.exit;
          signal.throwIfAborted();
          if (code !== 0)
            throw new RepositoryError(
              `The work in the checkout could not be read: ${stderr.trim().split("\n").at(-1) || `git ended with ${code}`}`,
              undefined,
              // Killed, or out of space: not the checkout's fault.
              code === null || isPassing(stderr),
            );
          const bundle = Bun.file(process.output).size > 0 ? process.output : undefined;
          return await machine.storeOf(request).takeIn(request, { bundle, start }, signal);
        } finally {
          signal.removeEventListener("abort", onAbort);
          await rm(process.output, { force: true });
        }
      },
    };
  };

  return {
    plan: () => ({ provider: "local", id: crypto.randomUUID(), host: machine.host }),

    async open(config, request, signal) {
      const hostPaths = machine.pathsOf(config.id, request.sessionId);
      const store = machine.storeOf(request);
      try {
        for (const one of Object.values(hostPaths)) await mkdir(one, { recursive: true, mode: 0o700 });
        const start = await store.checkOut(request, hostPaths.checkout, signal);
        await writeFile(startFile(config.id), start);
        return sandboxOf(config, request, start);
      } catch (error) {
        await removeTree(machine.folderOf(config.id));
        throw error;
      }
    },

    async reopen(config, request) {
      if (config.host !== machine.host) return undefined;
      const start = await readFile(startFile(config.id), "utf8").catch(() => undefined);
      return start ? sandboxOf(config, request, start) : undefined;
    },

    async release(config) {
      if (config.host !== machine.host) return false;
      await machine.remove(config.id);
      return true;
    },
  };
}
