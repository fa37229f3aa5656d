import { link, rm } from "node:fs/promises";
import { join } from "node:path";
import type { AgentCommand } from "../agents/agent.ts";
import { MIB } from "../shared/units.ts";
import { withinQuota } from "./disk/within-quota.ts";
import { checkoutEnvironment } from "./git/packing.ts";
import type { CheckoutRequest } from "./git/request.ts";
import type { Machine } from "./machine.ts";
import { LOOK, PACK, REFUSED, SECTION, UNPACK } from "./prepared-scripts.ts";
import { PARTS, type Part, type PreparedStore, type Snapshot } from "./prepared-store.ts";
import { exitOf, type SandboxProcess } from "./process/sandbox-process.ts";

const LOOK_TIMEOUT_MS = 60_000;
/** For each folder. */
const PACK_TIMEOUT_MS = 2 * 60_000;
const UNPACK_TIMEOUT_MS = 5 * 60_000;
/** A line of the index and a path for each file of the largest repositories. */
const LOOK_BYTES = 64 * MIB;
const MAX_FILES = 200_000;
/** Of what a program says about an error. */
const QUOTED = 300;

/** What a checkout and its home are at a moment. */
export interface Look {
  head: string;
  /** The newest commit of the target branch. */
  target: string;
  /** Lines of `git ls-files --stage -v`. */
  index: readonly string[];
  git: string;
  changed: readonly string[];
  paths: Record<Part, string>;
}

/** Why nothing was kept, or not restored: the end of a sentence for the user. */
export class NotPrepared extends Error {
  override readonly name = "NotPrepared";
}

/**
 * Keeps what the setup of a project leaves in a sandbox, for other sandboxes. All of it is done by programs IN the sandbox, which
 * can do there what the setup could and nothing else: an archive, plain data, comes out and goes in. Call these while no other
 * program of the sandbox runs.
 */
export interface Preparation {
  keyOf: PreparedStore["keyOf"];
  /** As of PreparedStore. Its files are this sandbox's, until it is restored: another run may make room meanwhile. */
  find: PreparedStore["find"];
  remove: PreparedStore["remove"];
  bytes: PreparedStore["bytes"];
  /** @throws NotPrepared: the machine lacks a program for it. */
  look(signal: AbortSignal): Promise<Look>;
  /**
   * Keeps what is there now and was not before.
   * @param options.maxBytes besides the store's own limit. @param options.project, options.see as of PreparedStore.
   * @throws NotPrepared
   */
  keep(
    key: string,
    options: {
      before: Look;
      maxBytes: number;
      project: string;
      see: (chunk: Buffer) => void;
      signal: AbortSignal;
    },
  ): Promise<void>;
  /** Writes a snapshot into this new sandbox. @throws NotPrepared: the sandbox is of no use then. */
  restore(snapshot: Snapshot, options: { before: Look; signal: AbortSignal }): Promise<void>;
}

/** @param request of the sandbox. */
export function preparationOf(
  machine: Machine,
  store: PreparedStore,
  id: string,
  request: CheckoutRequest,
): Preparation {
  const hostPaths = machine.pathsOf(id);
  const space = machine.spaceOf(id, request.sessionId);
  const inside = () => machine.insideOf(hostPaths);
  const run = async <T>(
    command: Pick<AgentCommand, "argv" | "builtIn"> & Partial<AgentCommand>,
    limits: { ms: number; bytes: number; signal: AbortSignal },
    take: (file: string) => Promise<T>,
  ): Promise<T> => {
    limits.signal.throwIfAborted();
    const env = checkoutEnvironment(machine.repositoryFor(request).hasLfs);
    const whole = { env, stdin: "", readable: [], ...command };
    const process = machine.launch(id, hostPaths, whole, limits.ms, undefined, limits.bytes);
    try {
      await withinQuota({ disk: machine.disk, space, signal: limits.signal }, (inTime) =>
        succeeded(process, limits.bytes, inTime),
      );
      return await take(process.output);
    } finally {
      await rm(process.output, { force: true });
    }
  };
  const nothing = async () => undefined;
  const linked = (part: Part) => join(machine.folderOf(id), `prepared-${part}.tar`);
  const unlinked = async () => {
    for (const part of PARTS) await rm(linked(part), { force: true });
  };
  const look = (signal: AbortSignal) =>
    run(
      { argv: ["sh", "-c", LOOK, "look", request.targetBranch], builtIn: true },
      { ms: LOOK_TIMEOUT_MS, bytes: LOOK_BYTES, signal },
      async (file) => parseLook(await Bun.file(file).text()),
    );

  return {
    keyOf: store.keyOf,
    async find(key) {
      const found = await store.find(key);
      if (!found) return undefined;
      const files = { checkout: linked("checkout"), home: linked("home") };
      await unlinked();
      for (const part of PARTS) await link(found.files[part], files[part]);
      return { ...found, files };
    },
    remove: store.remove,
    bytes: store.bytes,
    look,
    async keep(key, { before, maxBytes, project, see, signal }) {
      requireSame(before, await look(signal), "it changed");
      const most = Math.min(store.maxBytes, maxBytes);
      // Without isolation a sandbox is at a place of its own, which programs that are installed there may contain.
      const own = inside() === hostPaths ? id : "";
      const pack = <T>(part: Part, room: number, take: (file: string) => Promise<T>) => {
        const settings = [part === "home" ? "home" : "", String(MAX_FILES), String(room), own];
        const argv = ["sh", "-c", PACK, "pack", inside()[part], ...settings] as const;
        const limits = { ms: PACK_TIMEOUT_MS, bytes: room, signal };
        return run({ argv, builtIn: true, stdin: before.paths[part] }, limits, take);
      };
      await pack("checkout", most, (checkout) =>
        pack("home", most - Bun.file(checkout).size, (home) =>
          store.add(key, { checkout, home }, { project, see }),
        ),
      );
    },
    async restore({ files }, { before, signal }) {
      const to = inside();
      const places = PARTS.flatMap((part) => [files[part], to[part]]);
      try {
        await run(
          { argv: ["sh", "-c", UNPACK, "unpack", ...places], readable: Object.values(files) },
          { ms: UNPACK_TIMEOUT_MS, bytes: MIB, signal },
          nothing,
        );
      } finally {
        await unlinked();
      }
      requireSame(before, await look(signal), "it would have changed");
    },
  };
}

function parseLook(text: string): Look {
  const sections: Record<string, string[]> = {};
  let records: string[] = [];
  for (const record of text.split("\0").slice(0, -1)) {
    if (!record.startsWith(SECTION)) {
      records.push(record);
      continue;
    }
    records = [];
    sections[record.slice(SECTION.length)] = records;
  }
  const { commits = [], index = [], git = [], changed = [], checkout, home } = sections;
  const [head = "", target = ""] = commits;
  if (!checkout || !home) throw new NotPrepared("the sandbox could not be looked at");
  const paths = { checkout: joined(checkout), home: joined(home) };
  return { head, target, index, git: joined(git), changed, paths };
}

const joined = (records: readonly string[]) => records.map((one) => `${one}\0`).join("");

/** @throws NotPrepared unless tracked files, the index and what git knows are what they were. */
function requireSame(before: Look, after: Look, what: string): void {
  const [changed] = after.changed;
  if (changed !== undefined) throw new NotPrepared(`${what} a file of the repository (${changed})`);
  if (joined(before.index) !== joined(after.index)) throw new NotPrepared(`${what} the index of git`);
  if (before.git !== after.git) throw new NotPrepared(`${what} what is in .git, or made a repository`);
}

/** Waits until a program has succeeded. @throws NotPrepared; what `signal` aborted with, after it was killed. */
async function succeeded(process: SandboxProcess, maxBytes: number, signal: AbortSignal): Promise<void> {
  const { code, stderr } = await exitOf(process, signal);
  const { exceeded } = await process.usage();
  const tooLarge = exceeded === "output" || Bun.file(process.output).size > maxBytes;
  if (tooLarge || code === REFUSED.tooLarge)
    throw new NotPrepared(`it needs more than the ${Math.floor(maxBytes / MIB)} MB that there are for it`);
  if (code === REFUSED.tooMany) throw new NotPrepared(`it has more than ${MAX_FILES} files`);
  if (code === REFUSED.ownPath)
    throw new NotPrepared("it has the sandbox's own path in it, which is another one for each");
  if (code === 0) return;
  const said = stderr.trim().split("\n")[0]?.slice(0, QUOTED);
  throw new NotPrepared(said || `a program for it ended with ${code ?? "a signal"}`);
}
