import { link, mkdir, readdir, readFile, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxPaths } from "../agents/agent.ts";
import type { Config } from "../config.ts";
import { AppError, messageOf } from "../errors.ts";
import type { Logger } from "../observability/logger.ts";
import { type Bubblewrap, INSIDE, probeBubblewrap } from "./bubblewrap.ts";
import { openGit } from "./git.ts";
import { packing } from "./packing.ts";
import { endMarked, MARKER } from "./processes.ts";
import { removeTree } from "./remove-tree.ts";
import { checkBranchName, parseRepo } from "./repo-url.ts";
import { createExclusively, openRepositoryStore } from "./repository.ts";
import {
  type CheckoutRequest,
  RepositoryError,
  type Sandbox,
  type SandboxConfig,
  type SandboxProvider,
} from "./sandbox.ts";
import { attachProcess, startProcess } from "./sandbox-process.ts";

/** Committing and packing the work of a run. */
const PACKING_LIMIT_MS = 10 * 60_000;

/**
 * Sandboxes on this machine: DATA_DIR/sandboxes/<id>/{checkout,home,tmp}, isolated by bubblewrap where it works. What
 * an agent remembers of a conversation is in DATA_DIR/conversations/<session> and outlives the sandbox.
 */
export async function openLocalSandboxes(options: {
  config: Config;
  logger: Logger;
}): Promise<SandboxProvider> {
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
  const exclusively = createExclusively();
  const folderOf = (config: SandboxConfig) => join(root, safeId(config.id));

  const remove = async (folder: string, id: string) => {
    await endMarked(MARKER, id);
    await removeTree(folder);
  };
  /** Written last: a sandbox that has it is whole. */
  const startFile = (folder: string) => join(folder, "start");

  const storeOf = (request: CheckoutRequest) => {
    // A session was checked when it was made; the database may hold one from a time with other rules.
    const address = asRepositoryError(() => {
      checkBranchName(request.targetBranch);
      checkBranchName(request.branch, "branch");
      return parseRepo(request.repo, { githubUrl, allowLocal });
    });
    const hasToken = githubToken !== undefined;
    return openRepositoryStore({ git, dataDir, address, hasToken, author, exclusively });
  };

  const sandboxOf = (config: SandboxConfig, request: CheckoutRequest, start: string): Sandbox => {
    const folder = folderOf(config);
    const hostPaths = pathsOf(folder, request.sessionId);
    const place = { id: config.id, folder, host, isolated: bubblewrap !== undefined };
    const launch: Sandbox["start"] = (command, limitMs) =>
      startProcess(place, { bubblewrap, hostPaths, path, command, limitMs });
    return {
      config,
      paths: bubblewrap ? INSIDE : hostPaths,
      hostPaths,
      notes: join(folder, "notes.json"),
      start: launch,
      attach: (record) => attachProcess(place, record),
      async collect(message, signal) {
        signal.throwIfAborted();
        // What an earlier runner began to pack, too.
        await endMarked(MARKER, config.id);
        const process = launch(packing({ message, start, branch: request.branch, author }), PACKING_LIMIT_MS);
        const onAbort = () => void process.stop(0);
        signal.addEventListener("abort", onAbort, { once: true });
        try {
          const { code, stderr } = await process.exit;
          signal.throwIfAborted();
          if (code !== 0)
            throw new RepositoryError(
              `The work in the checkout could not be read: ${stderr.trim().split("\n").at(-1) || `git ended with ${code}`}`,
            );
          const bundle = Bun.file(process.output).size > 0 ? process.output : undefined;
          return await storeOf(request).takeIn(request, { bundle, start }, signal);
        } finally {
          signal.removeEventListener("abort", onAbort);
          await rm(process.output, { force: true });
        }
      },
    };
  };

  const pathsOf = (folder: string, sessionId: string): SandboxPaths => ({
    checkout: join(folder, "checkout"),
    home: join(folder, "home"),
    tmp: join(folder, "tmp"),
    state: join(dataDir, "conversations", safeId(sessionId)),
  });

  return {
    host,
    isolation: bubblewrap
      ? {
          isolated: true,
          detail: `bubblewrap (${bubblewrap.program}): own PID, mount, IPC and UTS namespaces, read-only system`,
        }
      : { isolated: false, detail: `${probed}; agents can read and change whatever this user can` },

    plan: () => ({ provider: "local", id: crypto.randomUUID(), host }),

    async open(config, request, signal) {
      const folder = folderOf(config);
      const hostPaths = pathsOf(folder, request.sessionId);
      const store = storeOf(request);
      try {
        for (const one of Object.values(hostPaths)) await mkdir(one, { recursive: true, mode: 0o700 });
        const start = await store.checkOut(request, hostPaths.checkout, signal);
        await writeFile(startFile(folder), start);
        return sandboxOf(config, request, start);
      } catch (error) {
        await removeTree(folder);
        throw error;
      }
    },

    async reopen(config, request) {
      if (config.host !== host) return undefined;
      const start = await readFile(startFile(folderOf(config)), "utf8").catch(() => undefined);
      return start ? sandboxOf(config, request, start) : undefined;
    },

    async release(config) {
      if (config.host !== host) return false;
      await remove(folderOf(config), config.id);
      return true;
    },

    async sweep(heldOf) {
      const ids = (await readdir(root)).filter(isId);
      const held = await heldOf(ids);
      let released = 0;
      for (const id of ids.filter((one) => !held.has(one))) {
        try {
          await remove(join(root, id), id);
          released += 1;
        } catch (error) {
          // One that cannot be removed must not keep the others; the next sweep tries again.
          logger.warn("a sandbox could not be removed", { sandbox: id, error: messageOf(error) });
        }
      }
      return released;
    },

    async freeBytes() {
      const { bavail, bsize } = await statfs(root);
      return bavail * bsize;
    },
  };
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
