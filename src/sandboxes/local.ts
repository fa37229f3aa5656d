import { chmod, link, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AgentCommand, SandboxPaths } from "../agents/agent.ts";
import type { Config } from "../config.ts";
import { AppError, messageOf } from "../errors.ts";
import type { Logger } from "../observability/logger.ts";
import { type Bubblewrap, INSIDE, probeBubblewrap } from "./bubblewrap.ts";
import { openGit } from "./git.ts";
import { packing } from "./packing.ts";
import { endMarked, MARKER } from "./processes.ts";
import { checkBranchName, parseRepo } from "./repo-url.ts";
import { createExclusively, openRepositoryStore } from "./repository.ts";
import {
  RepositoryError,
  type Sandbox,
  type SandboxConfig,
  type SandboxProcess,
  type SandboxProvider,
} from "./sandbox.ts";
import { startProcess } from "./sandbox-process.ts";

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
  const running = new Set<SandboxProcess>();
  const folderOf = (config: SandboxConfig) => join(root, safeId(config.id));

  const remove = async (folder: string, id: string) => {
    await endMarked(MARKER, id);
    await removeTree(folder);
  };

  return {
    isolation: bubblewrap
      ? {
          isolated: true,
          detail: `bubblewrap (${bubblewrap.program}): own PID, mount, IPC and UTS namespaces, read-only system`,
        }
      : { isolated: false, detail: `${probed}; agents can read and change whatever this user can` },

    plan: () => ({ provider: "local", id: crypto.randomUUID(), host }),

    async open(config, request, signal) {
      const folder = folderOf(config);
      const hostPaths: SandboxPaths = {
        checkout: join(folder, "checkout"),
        home: join(folder, "home"),
        tmp: join(folder, "tmp"),
        state: join(dataDir, "conversations", safeId(request.sessionId)),
      };
      // A session was checked when it was made; the database may hold one from a time with other rules.
      const address = asRepositoryError(() => {
        checkBranchName(request.targetBranch);
        checkBranchName(request.branch, "branch");
        return parseRepo(request.repo, { githubUrl, allowLocal });
      });
      const hasToken = githubToken !== undefined;
      const store = openRepositoryStore({ git, dataDir, address, hasToken, author, exclusively });
      let start: string;
      try {
        for (const one of Object.values(hostPaths)) await mkdir(one, { recursive: true, mode: 0o700 });
        start = await store.checkOut(request, hostPaths.checkout, signal);
      } catch (error) {
        await removeTree(folder);
        throw error;
      }
      const launch = (command: AgentCommand, output?: string) => {
        const started = startProcess({ id: config.id, folder, bubblewrap, hostPaths, path, command, output });
        running.add(started);
        started.exit.catch(() => undefined).then(() => running.delete(started));
        return started;
      };

      const sandbox: Sandbox = {
        config,
        paths: bubblewrap ? INSIDE : hostPaths,
        hostPaths,
        start: (command) => launch(command),
        async collect(message, collectSignal) {
          collectSignal.throwIfAborted();
          const bundle = join(folder, `work-${crypto.randomUUID()}.bundle`);
          await writeFile(bundle, "", { flag: "wx" });
          const { exit, stop } = launch(packing({ message, start, branch: request.branch, author }), bundle);
          const onAbort = () => void stop(0);
          collectSignal.addEventListener("abort", onAbort, { once: true });
          try {
            const { code, stderr } = await exit;
            collectSignal.throwIfAborted();
            if (code !== 0)
              throw new RepositoryError(
                `The work in the checkout could not be read: ${stderr.trim().split("\n").at(-1) || `git ended with ${code}`}`,
              );
            const packed = Bun.file(bundle).size > 0 ? bundle : undefined;
            return await store.takeIn(request, { bundle: packed, start }, collectSignal);
          } finally {
            collectSignal.removeEventListener("abort", onAbort);
            await rm(bundle, { force: true });
          }
        },
      };
      return sandbox;
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

    close: async () => {
      await Promise.allSettled([...running].map((one) => one.stop(0)));
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

/** Also a tree in which an agent made folders read-only. */
async function removeTree(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true });
  } catch {
    await makeWritable(folder).catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
  }
}

async function makeWritable(folder: string): Promise<void> {
  await chmod(folder, 0o700);
  const entries = await readdir(folder, { withFileTypes: true });
  await Promise.all(
    entries.filter((entry) => entry.isDirectory()).map((entry) => makeWritable(join(folder, entry.name))),
  );
}
