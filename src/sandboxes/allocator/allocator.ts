import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AllocatorConfig } from "../../db/json-columns.ts";
import type { Logger } from "../../observability/logger.ts";
import { messageOf } from "../../shared/errors.ts";
import type { Machine } from "../machine.ts";
import { removeTree } from "../remove-tree.ts";
import {
  type CheckoutRequest,
  RepositoryError,
  type Sandbox,
  type SandboxKind,
  type SandboxProvider,
} from "../sandbox.ts";
import { type Borrowed, createAllocatorClient } from "./allocator-client.ts";
import { createRemoteSandbox, type RemoteSandbox } from "./remote-sandbox.ts";
import { CHECK_OUT, PACK, PACKING_SCRIPT } from "./remote-scripts.ts";

/**
 * Borrowed sandboxes: the checkout is in a sandbox that an allocator lends; the agent runs here, beside the service, and
 * reaches the checkout through MCP alone. Git's credentials stay here: a bundle goes in, a bundle comes out.
 */
export function allocatorSandboxes(options: {
  machine: Machine;
  /** Undefined: none can be borrowed, and those from before cannot be given back. */
  url: string | undefined;
  dataDir: string;
  logger: Logger;
}): SandboxKind<AllocatorConfig> & Pick<SandboxProvider, "sweep"> {
  const { machine, url, dataDir, logger } = options;
  const client = url === undefined ? undefined : createAllocatorClient(url);
  const folder = join(dataDir, "borrowed");
  /** What was borrowed, until the database has it: a crash in between must not lose it. */
  const noteOf = (id: string) => join(folder, `${id}.json`);
  const startFile = (id: string) => join(machine.folderOf(id), "start");
  const workplaceOf = (id: string) => `/tmp/prompt-backend-${id}`;

  const writeNote = async (id: string, borrowed: Borrowed) => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const draft = `${noteOf(id)}.new`;
    await writeFile(draft, JSON.stringify(borrowed), { mode: 0o600 });
    await rename(draft, noteOf(id));
  };
  const borrowedFor = async (config: AllocatorConfig): Promise<Borrowed | undefined> => {
    const { item, borrow_token } = config;
    if (item && borrow_token) return { item, borrow_token };
    const text = await readFile(noteOf(config.id), "utf8").catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as Borrowed);
  };

  const sandboxOf = (
    config: AllocatorConfig,
    request: CheckoutRequest,
    borrowed: Borrowed,
    start: string,
  ): Sandbox => {
    const { id } = config;
    const hostPaths = machine.pathsOf(id, request.sessionId);
    const paths = machine.insideOf(hostPaths);
    const place = workplaceOf(id);
    return {
      config,
      paths,
      hostPaths,
      remote: { mcpConfig: join(paths.home, "mcp.json"), checkout: `${place}/checkout` },
      notes: join(machine.folderOf(id), "notes.json"),
      start: (command, limitMs) => machine.launch(id, hostPaths, command, limitMs),
      attach: (record) => machine.attach(id, record),
      async deliverWork(message, signal) {
        await machine.killAll(id);
        const remote = createRemoteSandbox({ apiUrl: borrowed.item.api_url, signal });
        await remote.write(`${place}/message`, message);
        await remote.run(`${place}/pack.sh`, place);
        const bytes = await remote.read(`${place}/out.bundle`);
        const bundle = join(machine.folderOf(id), `work-${crypto.randomUUID()}.bundle`);
        await writeFile(bundle, bytes);
        try {
          const packed = bytes.length > 0 ? bundle : undefined;
          return await machine
            .repositoryFor(request)
            .importBundle(request, { bundle: packed, start }, signal);
        } finally {
          await rm(bundle, { force: true });
        }
      },
    };
  };

  const checkOut = async (
    remote: RemoteSandbox,
    config: AllocatorConfig,
    request: CheckoutRequest,
    signal: AbortSignal,
  ): Promise<string> => {
    const place = workplaceOf(config.id);
    const bundle = join(machine.folderOf(config.id), "in.bundle");
    const { start, base, head } = await machine.repositoryFor(request).bundle(request, bundle, signal);
    await remote.write(`${place}/in.bundle`, new Uint8Array(await Bun.file(bundle).arrayBuffer()));
    await rm(bundle);
    const files = {
      branch: request.branch,
      target: request.targetBranch,
      origin: /^[\w.-]+\/[\w.-]+$|^https:/.test(request.repo) ? request.repo : "local",
      head,
      base,
      start,
      "author-name": machine.author.name,
      "author-email": machine.author.email,
      "checkout.sh": CHECK_OUT,
      "packing.sh": PACKING_SCRIPT,
      "pack.sh": PACK,
    };
    for (const [name, text] of Object.entries(files)) await remote.write(`${place}/${name}`, text);
    await remote.run(`${place}/checkout.sh`, place);
    return start;
  };

  return {
    async sweep(heldOf) {
      const ids = (await readdir(folder).catch(() => []))
        .filter((name) => name.endsWith(".json"))
        .map((name) => name.slice(0, -".json".length));
      const held = await heldOf(ids);
      let returned = 0;
      for (const id of ids.filter((one) => !held.has(one))) {
        const config = { provider: "allocator", id, host: machine.host } as const;
        try {
          const borrowed = await borrowedFor(config);
          if (borrowed) await client?.giveBack(borrowed);
          await rm(noteOf(id), { force: true });
          returned += 1;
        } catch (error) {
          logger.warn("a sandbox that was half borrowed could not be given back", {
            error: messageOf(error),
          });
        }
      }
      return returned;
    },

    plan: () => ({ provider: "allocator", id: crypto.randomUUID(), host: machine.host }),

    async open(config, request, signal, record) {
      if (!client)
        throw new RepositoryError("This service borrows no sandboxes: IP_ALLOCATOR_URL is not set.");
      const hostPaths = machine.pathsOf(config.id, request.sessionId);
      for (const one of Object.values(hostPaths)) await mkdir(one, { recursive: true, mode: 0o700 });
      const borrowed = await client.borrow(signal);
      await writeNote(config.id, borrowed);
      const held = { ...config, ...borrowed };
      await record(held);
      await rm(noteOf(config.id), { force: true });
      await writeFile(join(hostPaths.home, "mcp.json"), borrowed.item.mcp_json_string, { mode: 0o600 });
      const remote = createRemoteSandbox({ apiUrl: borrowed.item.api_url, signal });
      const start = await checkOut(remote, held, request, signal);
      await writeFile(startFile(config.id), start);
      return sandboxOf(held, request, borrowed, start);
    },

    async reopen(config, request) {
      if (config.host !== machine.host) return undefined;
      const start = await readFile(startFile(config.id), "utf8").catch(() => undefined);
      const borrowed = await borrowedFor(config);
      return start && borrowed ? sandboxOf(config, request, borrowed, start) : undefined;
    },

    async release(config) {
      const own = config.host === machine.host;
      const borrowed = own ? await borrowedFor(config) : config.item && (await borrowedFor(config));
      // It was planned on another machine, which alone may know whether something was lent.
      if (!own && !borrowed) return false;
      if (own) await machine.killAll(config.id);
      if (borrowed) {
        if (!client) throw new Error("IP_ALLOCATOR_URL is not set: a borrowed sandbox cannot be given back");
        await emptied(config, borrowed);
        await client.giveBack(borrowed);
      }
      if (own) {
        await rm(noteOf(config.id), { force: true });
        await removeTree(machine.folderOf(config.id));
      }
      return true;
    },
  };

  /** The next borrower gets nothing of this one's; a sandbox that does not answer is given back all the same. */
  async function emptied(config: AllocatorConfig, borrowed: Borrowed): Promise<void> {
    const signal = AbortSignal.timeout(10_000);
    const place = workplaceOf(config.id);
    try {
      const remote = createRemoteSandbox({ apiUrl: borrowed.item.api_url, signal });
      await remote.write(`${place}/empty.sh`, `rm -rf '${place}'\n`);
      await remote.run(`${place}/empty.sh`, "/");
    } catch (error) {
      logger.info("a borrowed sandbox could not be emptied", { sandbox: config.id, error: messageOf(error) });
    }
  }
}
