import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AllocatorConfig } from "../../db/json-columns.ts";
import type { Logger } from "../../observability/logger.ts";
import { messageOf } from "../../shared/errors.ts";
import { RepositoryError } from "../git/git-errors.ts";
import type { CheckoutRequest } from "../git/request.ts";
import type { Machine } from "../machine.ts";
import type { Sandbox, SandboxKind, SandboxProvider } from "../sandbox.ts";
import { type Borrowed, createAllocatorClient } from "./allocator-client.ts";
import { openBorrowNotes } from "./borrow-notes.ts";
import { mcpServers } from "./mcp-servers.ts";
import { checkOutRemotely, packRemotely, putFilesRemotely, workFolder } from "./remote-checkout.ts";
import { createRemoteSandbox } from "./remote-sandbox.ts";

const CLEAN_UP_TIMEOUT_MS = 10_000;

/**
 * Borrowed sandboxes: the checkout is in a sandbox borrowed from an allocator. The agent runs on this machine and
 * reaches the checkout only through MCP. Git credentials stay on this machine: only bundles are exchanged.
 * @param options.url of the allocator; undefined: sandboxes can neither be borrowed nor returned.
 */
export function allocatorSandboxes(options: {
  machine: Machine;
  url: string | undefined;
  dataDir: string;
  logger: Logger;
}): SandboxKind<AllocatorConfig> & Pick<SandboxProvider, "sweep"> {
  const { machine, url, dataDir, logger } = options;
  const client = url === undefined ? undefined : createAllocatorClient(url);
  const notes = openBorrowNotes(dataDir);

  const borrowedFor = async ({ id, item, borrow_token }: AllocatorConfig): Promise<Borrowed | undefined> =>
    item && borrow_token ? { item, borrow_token } : notes.read(id);

  const remoteOf = ({ item }: Borrowed, signal: AbortSignal) =>
    createRemoteSandbox({ apiUrl: item.api_url, signal });

  const sandboxOf = (
    config: AllocatorConfig,
    request: CheckoutRequest,
    borrowed: Borrowed,
    start: string,
    notices: readonly string[] = [],
  ): Sandbox => {
    const { id } = config;
    const hostPaths = machine.pathsOf(id);
    const servers = mcpServers(borrowed.item.mcp_json_string);
    return {
      config,
      // Both may have been opened again while this machine could not isolate.
      get paths() {
        return machine.insideOf(hostPaths);
      },
      hostPaths,
      get remote() {
        const mcpConfig = join(machine.insideOf(hostPaths).home, "mcp.json");
        return { mcpConfig, checkout: `${workFolder(id)}/checkout`, servers };
      },
      get mailbox() {
        return machine.mailboxOf(id);
      },
      notes: join(machine.folderOf(id), "notes.json"),
      notices,
      start: (command, limitMs, gateway) => machine.launch(id, hostPaths, command, limitMs, gateway),
      attach: (record) => machine.attach(id, record),
      restoreState: (keeps, stored) => machine.restoreState(id, request.sessionId, keeps, stored),
      putFiles: (files, signal) => putFilesRemotely(remoteOf(borrowed, signal), { id, machine, files }),
      keepState: (keeps, clean) => machine.keepState(id, request.sessionId, keeps, clean),
      watchDisk: (onFull) => machine.disk.watch(machine.spaceOf(id, request.sessionId), onFull),
      // The work is on another machine.
      intact: async () => true,
      async deliverWork(message, signal, onImport) {
        await machine.killAll(id);
        await machine.require(id);
        const bundle = join(machine.folderOf(id), `work-${crypto.randomUUID()}.bundle`);
        try {
          const size = await packRemotely(remoteOf(borrowed, signal), { id, message, bundle });
          onImport?.();
          const work = { bundle: size > 0 ? bundle : undefined, start };
          return await machine.repositoryFor(request).importBundle(request, work, signal);
        } finally {
          await rm(bundle, { force: true });
        }
      },
    };
  };

  /** The next borrower must not see this one's files. Best effort: a sandbox that does not answer is returned anyway. */
  const cleanUp = async (id: string, borrowed: Borrowed): Promise<void> => {
    try {
      const remote = remoteOf(borrowed, AbortSignal.timeout(CLEAN_UP_TIMEOUT_MS));
      await remote.write(`${workFolder(id)}/empty.sh`, `rm -rf '${workFolder(id)}'\n`);
      await remote.run(`${workFolder(id)}/empty.sh`, "/");
    } catch (error) {
      logger.info("a borrowed sandbox could not be cleaned up", { sandbox: id, error: messageOf(error) });
    }
  };

  return {
    async sweep(heldOf) {
      const ids = await notes.ids();
      const held = await heldOf(ids);
      let returned = 0;
      for (const id of ids.filter((one) => !held.has(one))) {
        try {
          const borrowed = await notes.read(id);
          if (borrowed) await client?.giveBack(borrowed);
          await notes.remove(id);
          returned += 1;
        } catch (error) {
          logger.warn("a sandbox that no session holds could not be returned", { error: messageOf(error) });
        }
      }
      return returned;
    },

    plan: () => ({ provider: "allocator", id: crypto.randomUUID(), host: machine.host }),

    async open(config, request, signal, record) {
      if (!client)
        throw new RepositoryError("This service cannot borrow sandboxes: IP_ALLOCATOR_URL is not set.");
      const hostPaths = machine.pathsOf(config.id);
      await machine.makeFolders(config.id, request.sessionId);
      const borrowed = await client.borrow(signal);
      await notes.write(config.id, borrowed);
      const held = { ...config, ...borrowed };
      await record(held);
      await notes.remove(config.id);
      await writeFile(join(hostPaths.home, "mcp.json"), borrowed.item.mcp_json_string, { mode: 0o600 });
      await machine.handOver(config.id, hostPaths.home);
      const remote = remoteOf(borrowed, signal);
      const { start, notices } = await checkOutRemotely(remote, { id: config.id, machine, request, signal });
      await machine.writeStart(config.id, start);
      return sandboxOf(held, request, borrowed, start, notices);
    },

    async reopen(config, request) {
      if (config.host !== machine.host) return undefined;
      const start = await machine.readStart(config.id);
      const borrowed = await borrowedFor(config);
      if (!start || !borrowed) return undefined;
      await machine.makeFolders(config.id, request.sessionId);
      return sandboxOf(config, request, borrowed, start);
    },

    async release(config) {
      const own = config.host === machine.host;
      const borrowed = own ? await borrowedFor(config) : config.item && (await borrowedFor(config));
      // It was planned on another machine, and only that one may have a note of what was borrowed.
      if (!own && !borrowed) return false;
      if (own) await machine.killAll(config.id);
      if (borrowed) {
        if (!client) throw new Error("IP_ALLOCATOR_URL is not set: a borrowed sandbox cannot be returned");
        await cleanUp(config.id, borrowed);
        await client.giveBack(borrowed);
      }
      if (own) {
        await notes.remove(config.id);
        await machine.remove(config.id);
      }
      return true;
    },
  };
}
