import { link, mkdir, readdir, readFile, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AgentCommand, SandboxPaths } from "../agents/agent.ts";
import type { Config } from "../config/config.ts";
import type { AgentProcess } from "../db/json-columns.ts";
import type { Logger } from "../observability/logger.ts";
import { AppError, messageOf } from "../shared/errors.ts";
import { createKeyedMutex } from "../shared/keyed-mutex.ts";
import { openGit } from "./git/git.ts";
import { checkBranchName, parseRepo } from "./git/repo-url.ts";
import { openRepositoryStore, type RepositoryStore } from "./git/repository.ts";
import { type Bubblewrap, INSIDE, probeBubblewrap } from "./isolation/bubblewrap.ts";
import { endMarked, MARKER } from "./process/processes.ts";
import { attachProcess, startProcess } from "./process/sandbox-process.ts";
import { removeTree } from "./remove-tree.ts";
import {
  type CheckoutRequest,
  RepositoryError,
  type SandboxProcess,
  type SandboxProvider,
} from "./sandbox.ts";

/**
 * What every sandbox needs of the machine that runs its agent: DATA_DIR/sandboxes/<id>/{checkout,home,tmp}, isolated by
 * bubblewrap where it works, and our own copies of the repositories. What an agent remembers of a conversation is in
 * DATA_DIR/conversations/<session> and outlives the sandbox.
 */
export interface Machine
  extends Pick<SandboxProvider, "host" | "isolation" | "sweep" | "freeBytes" | "usedBytes"> {
  folderOf(id: string): string;
  /** As this process sees them. */
  pathsOf(id: string, sessionId: string): SandboxPaths;
  /** As programs inside see them. */
  insideOf(hostPaths: SandboxPaths): SandboxPaths;
  launch(id: string, hostPaths: SandboxPaths, command: AgentCommand, limitMs: number): SandboxProcess;
  attach(id: string, record: AgentProcess): Promise<SandboxProcess | undefined>;
  /** Ends every process of a sandbox. */
  endAll(id: string): Promise<void>;
  /** The same, and removes its folder. Idempotent. */
  remove(id: string): Promise<void>;
  /** @throws RepositoryError where the request names what cannot be. */
  storeOf(request: CheckoutRequest): RepositoryStore;
  author: { name: string; email: string };
}

export async function openMachine(options: { config: Config; logger: Logger }): Promise<Machine> {
  const { config, logger } = options;
  const { dataDir, path, githubUrl, githubToken, gitAuthor: author } = config;
  // Someone who signs in from elsewhere has no business with the paths of this machine.
  const allowLocal = config.auth.mode !== "oidc";
  const root = join(dataDir, "sandboxes");
  await mkdir(root, { recursive: true, mode: 0o700 });
  const host = await hostId(dataDir);
  const git = await openGit({ dataDir, path, githubUrl, githubToken });
  const probed = await probeBubblewrap({ path, dataDir });
  const bubblewrap: Bubblewrap | undefined = typeof probed === "string" ? undefined : probed;
  const inTurn = createKeyedMutex();
  const folderOf = (id: string) => join(root, safeId(id));
  const placeOf = (id: string) => ({ id, folder: folderOf(id), host, isolated: bubblewrap !== undefined });

  const machine: Machine = {
    host,
    author,
    isolation: bubblewrap
      ? {
          isolated: true,
          detail: `bubblewrap (${bubblewrap.program}): own PID, mount, IPC and UTS namespaces, read-only system`,
        }
      : { isolated: false, detail: `${probed}; agents can read and change whatever this user can` },

    folderOf,
    pathsOf(id, sessionId) {
      const folder = folderOf(id);
      return {
        checkout: join(folder, "checkout"),
        home: join(folder, "home"),
        tmp: join(folder, "tmp"),
        state: join(dataDir, "conversations", safeId(sessionId)),
      };
    },
    insideOf: (hostPaths) => (bubblewrap ? INSIDE : hostPaths),
    launch: (id, hostPaths, command, limitMs) =>
      startProcess(placeOf(id), { bubblewrap, hostPaths, path, command, limitMs }),
    attach: (id, record) => attachProcess(placeOf(id), record),
    endAll: (id) => endMarked(MARKER, safeId(id)),
    async remove(id) {
      await machine.endAll(id);
      await removeTree(folderOf(id));
    },

    storeOf(request) {
      // A session was checked when it was made; the database may hold one from a time with other rules.
      const address = asRepositoryError(() => {
        checkBranchName(request.targetBranch);
        checkBranchName(request.branch, "branch");
        return parseRepo(request.repo, { githubUrl, allowLocal });
      });
      const hasToken = githubToken !== undefined;
      return openRepositoryStore({ git, dataDir, address, hasToken, author, inTurn });
    },

    async sweep(heldOf) {
      const ids = (await readdir(root)).filter(isId);
      const held = await heldOf(ids);
      let released = 0;
      for (const id of ids.filter((one) => !held.has(one))) {
        try {
          await machine.remove(id);
          released += 1;
        } catch (error) {
          // One that cannot be removed must not keep the others; the next sweep tries again.
          logger.warn("a sandbox could not be removed", { sandbox: id, error: messageOf(error) });
        }
      }
      return released;
    },

    async usedBytes() {
      // Agents add and remove files meanwhile: what du cannot find any more is no error.
      const child = Bun.spawn(["du", "-sk", "--", root], {
        env: { PATH: path },
        stdout: "pipe",
        stderr: "ignore",
      });
      return Number.parseInt(await child.stdout.text(), 10) * 1024 || 0;
    },

    async freeBytes() {
      const { bavail, bsize } = await statfs(root);
      return bavail * bsize;
    },
  };
  return machine;
}

/** What is wrong with the request is for the user to read in the session. */
function asRepositoryError<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof AppError) throw new RepositoryError(error.message, { cause: error });
    throw error;
  }
}

/** Names this DATA_DIR, and so this machine; made once, whoever comes first. */
async function hostId(dataDir: string): Promise<string> {
  const file = join(dataDir, "host-id");
  const read = () => readFile(file, "utf8").then((text) => text.trim());
  const known = await read().catch(() => "");
  if (known) return known;
  const draft = `${file}.${crypto.randomUUID()}`;
  await writeFile(draft, `${crypto.randomUUID()}\n`);
  // A link, unlike a move, never replaces what another process made meanwhile.
  await link(draft, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await rm(draft);
  return read();
}

const isId = (id: string) => /^[0-9a-f-]{36}$/i.test(id);

/** Ids come from the database; still, none becomes a path that leads elsewhere. */
function safeId(id: string): string {
  if (!isId(id)) throw new Error(`not an id: ${JSON.stringify(id)}`);
  return id;
}
