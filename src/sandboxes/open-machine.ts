import { existsSync, lstatSync, mkdirSync, readFileSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Config } from "../config/config.ts";
import { credentialFor } from "../forges/git-credentials.ts";
import type { Logger } from "../observability/logger.ts";
import { AppError, messageOf } from "../shared/errors.ts";
import { createKeyedMutex } from "../shared/keyed-mutex.ts";
import { createTreeMeter } from "./disk/measure.ts";
import { openDiskQuotas } from "./disk/quotas.ts";
import { freeBytesOf } from "./git/free-space.ts";
import { openGit } from "./git/git.ts";
import { RepositoryError } from "./git/git-errors.ts";
import { GIT_USER, gitUser } from "./git/git-user.ts";
import { listBranches } from "./git/list-branches.ts";
import { checkBranchName, parseRepo, repoRules } from "./git/repo-url.ts";
import { openRepositoryStore } from "./git/repository.ts";
import { tellSecretUse } from "./git/store-turns.ts";
import { hostId } from "./host-id.ts";
import { INSIDE, MAILBOX_INSIDE } from "./isolation/inside.ts";
import { giveTreeTo } from "./isolation/ownership.ts";
import { openIsolation } from "./isolation/status.ts";
import { openUids, uidIn } from "./isolation/uids.ts";
import { copyKept, keepState } from "./kept-state.ts";
import type { Machine } from "./machine.ts";
import { type Cgroups, openCgroups } from "./process/cgroup.ts";
import { killPrograms, sweepGroups } from "./process/kill-programs.ts";
import {
  attachProcess,
  type SandboxRef,
  type Surroundings,
  startProcess,
} from "./process/sandbox-process.ts";
import { type Standby, standBy } from "./process/standby.ts";
import { noteProgram, onlyBuiltIn } from "./programs-run.ts";
import { purgeDataDir } from "./purge-data-dir.ts";
import { removeTree } from "./remove-tree.ts";
import { restoreState } from "./restore-state.ts";

/** @param options.cgroups the control groups of this DATA_DIR on this machine; default: all that the kernel allows. */
export async function openMachine(options: {
  config: Config;
  logger: Logger;
  cgroups?: (host: string) => Promise<Cgroups | undefined>;
}): Promise<Machine> {
  const { config, logger } = options;
  const { dataDir, path, gitAuthor: author } = config;
  const rules = repoRules(config);
  const root = join(dataDir, "sandboxes");
  await mkdir(root, { recursive: true, mode: 0o700 });
  const host = await hostId(dataDir);
  const uids = openUids({ dataDir, range: config.agentUids });
  const { allowUnisolated } = config;
  const isolation = await openIsolation({ path, dataDir, uids: config.agentUids, allowUnisolated });
  const owner = await groupOwner(dataDir, host);
  const cgroups = options.cgroups ? await options.cgroups(owner) : await openCgroups({ host: owner });
  if (!cgroups)
    logger.warn(
      "no control groups: memory and processes of runs are only watched; `prompt-backend doctor` says how to change that",
    );
  const disk = await openDiskQuotas({ root, path, limit: config.runResources.diskBytes, logger });
  const measure = createTreeMeter({ path });
  const git = await openGit({ config, isolation, cgroups, credentialFor });
  const uidFor = gitUser({ dataDir, uids: () => (isolation.current?.uids ? uids : undefined) });
  const mutex = createKeyedMutex();
  const folderOf = (id: string) => join(root, safeId(id));
  const diskOf = (id: string) => join(folderOf(id), "disk");
  const keptOf = (sessionId: string) => join(dataDir, "conversations", safeId(sessionId));
  const mailboxOf = (id: string) => join(folderOf(id), "mailbox");
  const startFile = (id: string) => join(folderOf(id), "start");
  const borrowedFile = (id: string) => join(folderOf(id), "borrowed");
  const refOf = (id: string): SandboxRef => ({
    id,
    folder: folderOf(id),
    host,
    isolated: isolation.current !== undefined,
    cgroups,
    resources: config.runResources,
    maxOutputBytes: config.runLimits.maxOutputBytes,
  });

  /** What the last agent needed beside its sandbox. */
  let usual: { readable: readonly string[]; limitMs: number; hasGateway: boolean } | undefined;
  const standbys = new Map<string, Standby>();
  const discard = (id: string) => {
    standbys.get(id)?.discard();
    standbys.delete(id);
  };

  const surroundingsOf = (
    id: string,
    more: Pick<Surroundings, "hostPaths" | "limitMs" | "gateway" | "borrowed">,
  ): Surroundings => ({
    ...{ isolation: isolation.current, path, uid: uidIn(folderOf(id)), mailbox: mailboxOf(id) },
    ...more,
  });

  const giveUser = async (id: string) => {
    if (!isolation.current?.uids) return;
    const uid = await uids.claim(id, folderOf(id));
    // Not again when the sandbox is reopened: its agent may be running. chown gives a folder after what is in it, so that
    // one that is given is complete, whenever an earlier process was killed.
    for (const one of Object.values(machine.pathsOf(id))) {
      const owner = lstatSync(one, { throwIfNoEntry: false })?.uid;
      if (owner !== undefined && owner !== uid) await giveTreeTo(uid, one, path);
    }
  };

  const machine: Machine = {
    host,
    author,
    maxWorkBytes: config.repoLimits.maxBytes,
    isolation: isolation.status,

    disk,
    spaceOf: (id, sessionId) => ({ id, folder: diskOf(id), state: keptOf(sessionId) }),
    folderOf,
    pathsOf: (id) => ({
      checkout: join(diskOf(id), "checkout"),
      home: join(diskOf(id), "home"),
      tmp: join(diskOf(id), "tmp"),
      state: join(diskOf(id), "state"),
    }),
    async makeFolders(id, sessionId) {
      const space = machine.spaceOf(id, sessionId);
      for (const one of [space.folder, space.state]) await mkdir(one, { recursive: true, mode: 0o700 });
      // Where the folders were before there were limits; an agent that runs there does not notice the move.
      for (const old of ["checkout", "home", "tmp"].map((name) => join(folderOf(id), name)))
        if (existsSync(old)) await rename(old, join(space.folder, basename(old)));
      await disk.open(space);
      const folders = Object.values(machine.pathsOf(id));
      for (const one of folders) await mkdir(one, { recursive: true, mode: 0o700 });
      // For the sandbox's user to read, whatever the umask is; the folder above keeps others out.
      await mkdir(mailboxOf(id), { recursive: true });
      await chmod(mailboxOf(id), 0o755);
      await giveUser(id);
    },
    async restoreState(id, sessionId, keeps, stored) {
      const { state } = machine.pathsOf(id);
      const kept = keptOf(sessionId);
      try {
        if (stored) await restoreState(kept, state, stored);
        else await copyKept(kept, state, keeps, config.agentMemoryBytes);
      } catch (error) {
        // It has the folder that is removed here.
        discard(id);
        await removeTree(state);
        await mkdir(state, { mode: 0o700 });
        throw error;
      } finally {
        await machine.handOver(id, state);
      }
    },
    keepState: (id, sessionId, keeps, clean) =>
      keepState(machine.pathsOf(id).state, keptOf(sessionId), keeps, config.agentMemoryBytes, clean),
    insideOf: (hostPaths) => (isolation.current ? INSIDE : hostPaths),
    mailboxOf: (id) => ({ host: mailboxOf(id), inside: isolation.current ? MAILBOX_INSIDE : mailboxOf(id) }),
    async handOver(id, folder) {
      const uid = uidIn(folderOf(id));
      if (isolation.current?.uids && uid !== undefined) await giveTreeTo(uid, folder, path);
    },
    uidOf: (id) => uidIn(folderOf(id)),
    async require(id) {
      if (onlyBuiltIn(folderOf(id))) return;
      await isolation.require();
      // It may be possible only now.
      await giveUser(id);
    },
    launch(id, hostPaths, command, limitMs, gateway, maxOutputBytes) {
      noteProgram(folderOf(id), command);
      if (!onlyBuiltIn(folderOf(id))) isolation.requireNow();
      const borrowed = existsSync(borrowedFile(id)) ? readFileSync(borrowedFile(id), "utf8") : undefined;
      const options = { ...surroundingsOf(id, { hostPaths, limitMs, gateway, borrowed }), command };
      if (maxOutputBytes !== undefined) return startProcess({ ...refOf(id), maxOutputBytes }, options);
      // Whether only built-in programs have run in a sandbox is told by what was started in it.
      usual = command.builtIn
        ? undefined
        : { readable: command.readable, limitMs, hasGateway: gateway !== undefined };
      const ready = standbys.get(id)?.start(options);
      discard(id);
      return ready ?? startProcess(refOf(id), options);
    },
    getReady(id, hostPaths, borrowed) {
      const { current } = isolation;
      if (!usual || !current) return;
      const { readable, limitMs, hasGateway } = usual;
      const gateway = hasGateway ? join(folderOf(id), "gateway") : undefined;
      const surroundings = surroundingsOf(id, { hostPaths, limitMs, gateway, borrowed });
      try {
        if (gateway) mkdirSync(gateway, { recursive: true, mode: 0o711 });
        standbys.set(id, standBy(refOf(id), { ...surroundings, isolation: current, readable }));
      } catch (error) {
        // Then the agent starts without; what keeps that from starting is told there.
        logger.debug("a sandbox could not be made ready for its agent", { error: messageOf(error) });
      }
    },
    attach: (id, record) => attachProcess(refOf(id), record),
    killAll(id) {
      discard(id);
      return killPrograms(refOf(id));
    },
    async remove(id) {
      await machine.killAll(id);
      const uid = uidIn(folderOf(id));
      await disk.release({ id, folder: diskOf(id) });
      await removeTree(folderOf(id));
      await uids.release(uid, id);
    },

    async writeStart(id, commit, borrowed) {
      if (borrowed !== undefined) await writeFile(borrowedFile(id), borrowed);
      await writeFile(startFile(id), commit);
    },
    readStart: (id) => readFile(startFile(id), "utf8").catch(() => undefined),

    repositoryFor(request) {
      // A session is checked when it is created, but the database may hold one from before the rules changed.
      const address = asRepositoryError(() => {
        checkBranchName(request.targetBranch);
        checkBranchName(request.branch, "branch");
        return parseRepo(request.repo, rules);
      });
      return openRepositoryStore({ git, config, address, rules, uidFor, mutex });
    },

    async branchesOf(request, signal) {
      const address = asRepositoryError(() => parseRepo(request.repo, rules));
      await tellSecretUse(address, request);
      return listBranches({ git, dataDir, uidFor }, address, signal);
    },

    async sweep(heldOf) {
      const ids = (await readdir(root)).filter(isId);
      const held = await heldOf(ids);
      await isolation.refresh().catch((error: unknown) => {
        logger.warn("the sandboxes' copies of /etc could not be brought up to date", {
          error: messageOf(error),
        });
      });
      await uids.sweep((id) => id === GIT_USER || (isId(id) && existsSync(folderOf(id))));
      let released = 0;
      for (const id of ids.filter((one) => !held.has(one))) {
        try {
          await machine.remove(id);
          released += 1;
        } catch (error) {
          // One failure must not keep the others from being removed; the next sweep retries.
          logger.warn("a sandbox could not be removed", { sandbox: id, error: messageOf(error) });
        }
      }
      if (cgroups)
        await sweepGroups(cgroups, root).catch((error: unknown) => {
          logger.warn("control groups without a sandbox could not be removed", { error: messageOf(error) });
        });
      return released;
    },

    purge: (options) => purgeDataDir({ dataDir, git, logger, refusal: isolation.status.refusal, ...options }),

    async usedBytes() {
      try {
        // A sandbox with a file system of its own takes the space of its image.
        return (await measure([root])).bytes;
      } catch (error) {
        logger.warn("the disk space of all sandboxes is unknown", { error: messageOf(error) });
        return 0;
      }
    },

    freeBytes() {
      return freeBytesOf(root);
    },
  };
  return machine;
}

/** Turns an error about the request into one that the user reads in the session. */
function asRepositoryError<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof AppError) throw new RepositoryError(error.message, { cause: error });
    throw error;
  }
}

/** Whose control groups they are: a copy of DATA_DIR has the same id, and must not sweep away those of the original. */
async function groupOwner(dataDir: string, host: string): Promise<string> {
  const { dev, ino } = await stat(dataDir);
  const place = new Bun.CryptoHasher("sha256").update(`${dev}:${ino}`).digest("hex");
  return `${host}-${place.slice(0, 8)}`;
}

const isId = (id: string) => /^[0-9a-f-]{36}$/i.test(id);

/** Ids come from the database; still, none may become a path that leads elsewhere. */
function safeId(id: string): string {
  if (!isId(id)) throw new Error(`not an id: ${JSON.stringify(id)}`);
  return id;
}
