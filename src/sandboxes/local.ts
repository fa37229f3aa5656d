import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AgentCommand, SandboxPaths } from "../agents/agent.ts";
import type { Config } from "../config.ts";
import type { Logger } from "../observability/logger.ts";
import { type Bubblewrap, INSIDE, probeBubblewrap } from "./bubblewrap.ts";
import { openGit } from "./git.ts";
import { endMarked } from "./processes.ts";
import { parseRepo } from "./repo-url.ts";
import { openRepositoryStore } from "./repository.ts";
import { RepositoryError, type Sandbox, type SandboxConfig, type SandboxProvider } from "./sandbox.ts";
import { startProcess } from "./sandbox-process.ts";

/**
 * Sandboxes on this machine: DATA_DIR/sandboxes/<id>/{checkout,home,tmp}, isolated by bubblewrap where it works. What
 * an agent remembers of a conversation is in DATA_DIR/conversations/<session> and outlives the sandbox.
 */
export async function openLocalSandboxes(options: {
  config: Config;
  logger: Logger;
}): Promise<SandboxProvider> {
  const { dataDir, path, githubUrl, githubToken, gitAuthor } = options.config;
  const root = join(dataDir, "sandboxes");
  await mkdir(root, { recursive: true, mode: 0o700 });
  const host = await hostId(dataDir);
  const git = await openGit({ dataDir, path, githubUrl, githubToken });
  const probed = probeBubblewrap(path);
  const bubblewrap: Bubblewrap | undefined = typeof probed === "string" ? undefined : probed;
  const folderOf = (config: SandboxConfig) => join(root, safeId(config.id));

  const remove = async (folder: string, id: string) => {
    await endMarked(id);
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
      // A session was checked when it was made; the database may hold one from a time with other rules.
      const address = parseRepo(request.repo, { githubUrl, allowLocal: true });
      const folder = folderOf(config);
      const hostPaths: SandboxPaths = {
        checkout: join(folder, "checkout"),
        home: join(folder, "home"),
        tmp: join(folder, "tmp"),
        state: join(dataDir, "conversations", safeId(request.sessionId)),
      };
      for (const one of Object.values(hostPaths)) await mkdir(one, { recursive: true, mode: 0o700 });
      const store = openRepositoryStore({ git, dataDir, address, hasToken: githubToken !== undefined });
      const start = await store.checkOut(request, hostPaths.checkout, signal);
      const launch = (command: AgentCommand, output?: string) =>
        startProcess({ id: config.id, bubblewrap, hostPaths, path, command, output });

      const sandbox: Sandbox = {
        config,
        paths: bubblewrap ? INSIDE : hostPaths,
        hostPaths,
        start: (command) => launch(command),
        async collect(message, collectSignal) {
          const bundle = join(folder, "work.bundle");
          const { exit, lines, stop } = launch(packing({ message, start, author: gitAuthor }), bundle);
          const onAbort = () => void stop(0);
          collectSignal.addEventListener("abort", onAbort, { once: true });
          try {
            for await (const _ of lines);
            const { code, stderr } = await exit;
            collectSignal.throwIfAborted();
            if (code !== 0)
              throw new RepositoryError(
                `The work in the checkout could not be read: ${stderr.trim().split("\n").at(-1) ?? "git failed"}`,
              );
          } finally {
            collectSignal.removeEventListener("abort", onAbort);
          }
          const size = Bun.file(bundle).size;
          return store.takeIn(request, { bundle: size > 0 ? bundle : undefined, start }, collectSignal);
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
      const ids = await readdir(root);
      const held = await heldOf(ids);
      const left = ids.filter((id) => !held.has(id));
      for (const id of left) await remove(join(root, id), id);
      return left.length;
    },

    close: async () => undefined,
  };
}

/**
 * Commits what was left and packs what is new, all INSIDE the sandbox: whatever an agent did to its repository (hooks,
 * filters, a .git that points elsewhere) works on nothing but itself. Only a bundle, plain data, comes out.
 * The script is a constant; what varies are its arguments, its environment and its stdin.
 */
function packing(options: {
  message: string;
  start: string;
  author: { name: string; email: string };
}): AgentCommand {
  const script = `set -e
exec 3>&1 >/dev/null
rm -f .git/index.lock .git/HEAD.lock
quiet="-c core.hooksPath=/dev/null -c commit.gpgsign=false -c core.fsmonitor=false -c gc.auto=0"
git $quiet add --all
git $quiet diff --cached --quiet || git $quiet commit --no-verify --quiet --file=-
git merge-base --is-ancestor HEAD "$1" || git bundle create --quiet - HEAD "^$1" >&3`;
  const { name, email } = options.author;
  return {
    argv: ["sh", "-c", script, "sh", options.start],
    env: {
      GIT_AUTHOR_NAME: name,
      GIT_AUTHOR_EMAIL: email,
      GIT_COMMITTER_NAME: name,
      GIT_COMMITTER_EMAIL: email,
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
    },
    stdin: options.message,
    readable: [],
  };
}

/** Names this DATA_DIR, and so this machine; made once, whoever comes first. */
async function hostId(dataDir: string): Promise<string> {
  const file = join(dataDir, "host-id");
  const draft = `${file}.${process.pid}`;
  try {
    return (await readFile(file, "utf8")).trim();
  } catch {
    await writeFile(draft, `${crypto.randomUUID()}\n`);
    await rename(draft, file);
    return (await readFile(file, "utf8")).trim();
  }
}

/** Ids come from the database; still, none becomes a path that leads elsewhere. */
function safeId(id: string): string {
  if (!/^[0-9a-f-]{36}$/i.test(id)) throw new Error(`not an id: ${JSON.stringify(id)}`);
  return id;
}

/** Also a tree in which an agent made folders read-only. */
async function removeTree(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true });
  } catch {
    await makeWritable(folder);
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
