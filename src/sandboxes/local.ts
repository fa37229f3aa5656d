import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { AgentCommand } from "../agents/agent.ts";
import type { LocalConfig } from "../db/json-columns.ts";
import { MIB } from "../shared/units.ts";
import { withinQuota } from "./disk/within-quota.ts";
import { faultIn, RepositoryError } from "./git/git-errors.ts";
import type { GiveObjects } from "./git/lfs.ts";
import { giveCommand, leftOutIn, packCommand } from "./git/packing.ts";
import type { CheckoutRequest } from "./git/request.ts";
import type { Machine } from "./machine.ts";
import { preparationOf } from "./prepared.ts";
import type { PreparedStore } from "./prepared-store.ts";
import { exitOf, type SandboxProcess } from "./process/sandbox-process.ts";
import { FILES_FOLDER, putFiles } from "./put-files.ts";
import type { Sandbox, SandboxKind } from "./sandbox.ts";

/** For committing and packing the work of a run. */
const PACKING_TIMEOUT_MS = 10 * 60_000;
const BOUNDS = { memory: "RUN_MEMORY_MB", processes: "RUN_MAX_PROCESSES", output: "REPO_MAX_MB" } as const;

/**
 * Sandboxes on this machine: the agent works in a checkout in DATA_DIR.
 * @param prepared what setup has left in others.
 */
export function localSandboxes(machine: Machine, prepared: PreparedStore): SandboxKind<LocalConfig> {
  const sandboxOf = (
    config: LocalConfig,
    request: CheckoutRequest,
    start: string,
    notices: readonly string[] = [],
  ): Sandbox => {
    const { id } = config;
    const hostPaths = machine.pathsOf(id);
    const space = machine.spaceOf(id, request.sessionId);
    return {
      config,
      // It may have been opened again while this machine could not isolate.
      get paths() {
        return machine.insideOf(hostPaths);
      },
      hostPaths,
      get mailbox() {
        return machine.mailboxOf(id);
      },
      preparation: prepared.maxBytes > 0 ? preparationOf(machine, prepared, id, request) : undefined,
      notes: join(machine.folderOf(id), "notes.json"),
      notices,
      start: (command, limitMs, gateway) => machine.launch(id, hostPaths, command, limitMs, gateway),
      attach: (record) => machine.attach(id, record),
      restoreState: (keeps, stored) => machine.restoreState(id, request.sessionId, keeps, stored),
      async putFiles(files) {
        await putFiles(machine, id, files);
        return join(machine.insideOf(hostPaths).home, FILES_FOLDER);
      },
      keepState: (keeps, clean) => machine.keepState(id, request.sessionId, keeps, clean),
      watchDisk: (onFull) => machine.disk.watch(space, onFull),
      intact: () => machine.disk.intact(space),
      async deliverWork(message, signal, onImport) {
        signal.throwIfAborted();
        // Also the packing that an earlier runner may have started.
        await machine.killAll(id);
        await machine.require(id);
        const { branch } = request;
        const repository = machine.repositoryFor(request);
        const { author, maxWorkBytes } = machine;
        /** What a command prints in the sandbox, in a file for `read`. */
        const printed = async <T>(
          command: AgentCommand,
          read: (file: string, stderr: string) => Promise<T>,
        ): Promise<T> => {
          const process = machine.launch(id, hostPaths, command, PACKING_TIMEOUT_MS, undefined, maxWorkBytes);
          try {
            const stderr = await withinQuota({ disk: machine.disk, space, signal }, (inTime) =>
              packed(process, maxWorkBytes, inTime),
            );
            return await read(process.output, stderr);
          } finally {
            await rm(process.output, { force: true });
          }
        };
        return await printed(
          packCommand({ message, start, branch, author, lfs: repository.hasLfs }),
          async (file, stderr) => {
            onImport?.();
            const bundle = Bun.file(file).size > 0 ? file : undefined;
            const give: GiveObjects = (oids, take) => printed(giveCommand(oids), take);
            const work = await repository.importBundle(request, { bundle, start, give }, signal);
            return { ...work, notices: [...leftOutIn(stderr), ...(work.notices ?? [])] };
          },
        );
      },
    };
  };

  return {
    plan: () => ({ provider: "local", id: crypto.randomUUID(), host: machine.host }),

    async open(config, request, signal) {
      const hostPaths = machine.pathsOf(config.id);
      const space = machine.spaceOf(config.id, request.sessionId);
      const repository = machine.repositoryFor(request);
      try {
        const fetched = repository.fetch(request, signal);
        const checkOut = async () => {
          await machine.makeFolders(config.id, request.sessionId);
          const checkout = { fetched, folder: hostPaths.checkout, uid: machine.uidOf(config.id) };
          const made = withinQuota({ disk: machine.disk, space, signal }, (inTime) =>
            repository.checkOut(request, checkout, inTime),
          );
          machine.getReady(config.id, hostPaths, repository.lends());
          return made;
        };
        // The sandbox of the one starts while the other fetches. Neither must be at work any more when the folders are removed.
        const steps = [fetched, checkOut()] as const;
        await Promise.allSettled(steps);
        const [{ start }, { notices, borrowed }] = await Promise.all(steps);
        await machine.writeStart(config.id, start, borrowed);
        return sandboxOf(config, request, start, notices);
      } catch (error) {
        await machine.remove(config.id);
        throw error;
      }
    },

    async reopen(config, request) {
      if (config.host !== machine.host) return undefined;
      const start = await machine.readStart(config.id);
      if (!start) return undefined;
      await machine.makeFolders(config.id, request.sessionId);
      return sandboxOf(config, request, start);
    },

    async release(config) {
      if (config.host !== machine.host) return false;
      await machine.remove(config.id);
      return true;
    },
  };
}

/**
 * Waits until the work is packed.
 * @param maxBytes at which the bundle was cut off.
 * @returns the end of what it printed about errors.
 * @throws RepositoryError; what `signal` aborted with, after the program was killed.
 */
async function packed(process: SandboxProcess, maxBytes: number, signal: AbortSignal): Promise<string> {
  const { code, stderr } = await exitOf(process, signal);
  if (Bun.file(process.output).size > maxBytes)
    throw new RepositoryError(
      `The work in the checkout is too large: what is new in it has more than ${maxBytes / MIB} MB (REPO_MAX_MB).`,
    );
  if (code === 0) return stderr;
  // Another try would need as much.
  const { exceeded } = await process.usage();
  if (exceeded !== undefined)
    throw new RepositoryError(
      `The work in the checkout could not be read: git, or a filter of the checkout, used more than a run may (${BOUNDS[exceeded]}).`,
    );
  // Another try would take as long: it is what the checkout has made of git.
  if (code === null && process.ageMs() >= PACKING_TIMEOUT_MS)
    throw new RepositoryError(
      `The work in the checkout could not be read: git took longer than ${PACKING_TIMEOUT_MS / 60_000} minutes.`,
    );
  throw new RepositoryError(
    `The work in the checkout could not be read: ${stderr.trim().split("\n").at(-1) || `git ended with ${code}`}`,
    undefined,
    // Killed, or out of disk space: not the checkout's fault.
    code === null ? "machine" : faultIn(stderr),
  );
}
