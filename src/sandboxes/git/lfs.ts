import { existsSync } from "node:fs";
import { join } from "node:path";
import { faultIn, RepositoryError } from "./git-errors.ts";
import { plainLine } from "./lfs-attributes.ts";
import { lostNotice, plainNotice, pointersNotice, type WhyPointers } from "./lfs-notices.ts";
import { type LfsPointer, readLfsOutput } from "./lfs-pointers.ts";
import {
  LFS_FETCH,
  LFS_FETCH_LOCAL,
  LFS_FILES,
  LFS_PUSH,
  LFS_PUSH_LOCAL,
  LFS_TAKE,
  LFS_WORK,
} from "./lfs-scripts.ts";
import { type StoreGit, succeeded } from "./store-git.ts";
import { amongOthers } from "./store-lock.ts";

/** What git prints of the files of one commit before it is given up. */
const OUTPUT_BYTES = 64 * 1024 * 1024;
/** Objects of one work: they are arguments of a program. */
const MAX_OBJECTS = 10_000;

/** Reads objects from the sandbox that has made a work, and has them written to a file for `take`. */
export type GiveObjects = (oids: readonly string[], take: (file: string) => Promise<void>) => Promise<void>;

/** What a repository keeps with Git LFS, in our own store of it. */
export interface Lfs {
  installed: boolean;
  /**
   * Fetches the objects of a commit's files, as far as a checkout may have them.
   * @returns the objects for the checkout, lines for its attributes, and what the user must be told of other objects.
   */
  bring(
    commit: string,
    signal: AbortSignal,
  ): Promise<{ oids: string[]; attributes: string[]; notices: string[] }>;
  /** What the user must be told of a checkout that gets no objects. */
  pointersOf(commit: string, why: WhyPointers, signal: AbortSignal): Promise<string[]>;
  /**
   * Takes the objects that a work refers to, and the source repository may lack, into the store.
   * @param work.refs of the session. @param work.give undefined: there is no sandbox that could have them.
   * @returns what the user must be told, and the objects. @throws RepositoryError
   */
  collect(
    work: { refs: string; commit: string; give: GiveObjects | undefined },
    signal: AbortSignal,
  ): Promise<{ notices: string[]; oids: string[] }>;
  /** Uploads objects of the store, as far as the source repository lacks them. @throws RepositoryError */
  upload(oids: readonly string[], signal: AbortSignal): Promise<void>;
}

/** @param options.maxBytes of a checkout. @param options.path where programs are searched for. */
export function openLfs(options: { storeGit: StoreGit; path: string; maxBytes: number }): Lfs {
  const { storeGit, path, maxBytes } = options;
  const { store, address, inStore, withSource } = storeGit;
  const local = address.kind === "local";
  const installed = Bun.which("git-lfs", { PATH: path }) !== null;

  const read = async (script: string, args: readonly string[], signal: AbortSignal) => {
    const parts: Uint8Array[] = [];
    let size = 0;
    const take = (part: Uint8Array) => {
      size += part.length;
      if (size <= OUTPUT_BYTES) parts.push(part);
    };
    succeeded(await inStore(script, args, signal, { stdout: take, timeoutIsFinal: true }));
    if (size > OUTPUT_BYTES) throw new RepositoryError("The files of Git LFS are too many.");
    return readLfsOutput(Buffer.concat(parts), script === LFS_WORK);
  };
  const has = ({ oid, size }: LfsPointer) =>
    size === 0 || existsSync(join(store, "lfs/objects", oid.slice(0, 2), oid.slice(2, 4), oid));

  /** @param pointers by the ids of their texts. @returns why not all were fetched. */
  const fetch = async (
    pointers: readonly (readonly [id: string, pointer: LfsPointer])[],
    signal: AbortSignal,
  ): Promise<string | undefined> => {
    const lacking = pointers.filter(([, pointer]) => !has(pointer));
    if (lacking.length === 0) return undefined;
    try {
      const lines = lacking.map(([id, { oid }]) => `${local ? oid : id}\n`);
      const how = { lfs: true, stdin: { text: lines.join("") } };
      succeeded(await withSource(local ? LFS_FETCH_LOCAL : LFS_FETCH, [], signal, how));
      return undefined;
    } catch (error) {
      if (!(error instanceof RepositoryError)) throw error;
      return `${address.display} did not give all of them (${error.message.replace(/\.$/, "")})`;
    }
  };

  return {
    installed,

    async bring(commit, signal) {
      const { files, pointers } = await read(LFS_FILES, [commit], signal);
      const paths = Map.groupBy(
        files.filter(({ id }) => pointers.has(id)),
        ({ id }) => id,
      );
      const wanted: { id: string; pointer: LfsPointer; paths: string[] }[] = [];
      const tooLarge: string[] = [];
      let sum = 0;
      for (const [id, at] of paths) {
        const pointer = pointers.get(id) as LfsPointer;
        // Each of its files, and the checkout's own repository, has a copy.
        const bytes = pointer.size * (at.length + 1);
        const names = at.map(({ path }) => path);
        if (sum + bytes > maxBytes) tooLarge.push(...names);
        else {
          sum += bytes;
          wanted.push({ id, pointer, paths: names });
        }
      }
      const toFetch = wanted.map(({ id, pointer }) => [id, pointer] as const);
      const failure = await amongOthers(store, signal, () => fetch(toFetch, signal));
      const missing = wanted.filter(({ pointer }) => !has(pointer)).flatMap((one) => one.paths);
      return {
        oids: oidsOf(wanted.map(({ pointer }) => pointer).filter(has)),
        attributes: files.filter(({ id }) => !pointers.has(id)).flatMap(({ path }) => plainLine(path)),
        notices: [
          ...(tooLarge.length > 0 ? [pointersNotice(tooLarge, "too large", maxBytes)] : []),
          ...(missing.length > 0
            ? [pointersNotice(missing, { failure: failure ?? "they are not there" }, maxBytes)]
            : []),
        ],
      };
    },

    async pointersOf(commit, why, signal) {
      const { files, pointers } = await read(LFS_FILES, [commit], signal);
      const paths = files.filter(({ id }) => pointers.has(id)).map(({ path }) => path);
      return paths.length === 0 ? [] : [pointersNotice(paths, why, maxBytes)];
    },

    async collect({ refs, commit, give }, signal) {
      const { files, added, pointers } = await read(LFS_WORK, [refs, commit], signal);
      const isNew = new Set(added);
      const plain = files.filter(({ id }) => isNew.has(id) && !pointers.has(id)).map(({ path }) => path);
      const notices = plain.length > 0 ? [plainNotice(plain, installed)] : [];
      if (!installed || pointers.size === 0) return { notices, oids: [] };
      if (pointers.size > MAX_OBJECTS)
        throw new RepositoryError(`The work has more than ${MAX_OBJECTS} objects of Git LFS.`);

      const all = [...pointers.values()];
      const missing = all.filter((pointer) => !has(pointer)).map(({ oid }) => oid);
      if (missing.length > 0)
        await give?.(missing, async (file) => {
          succeeded(await inStore(LFS_TAKE, [], signal, { stdin: { file }, timeoutIsFinal: true }));
        });
      // Pointers to what the source repository has had before.
      await fetch([...pointers], signal);
      const lost = all.filter((pointer) => !has(pointer)).map(({ oid }) => oid);
      if (lost.length > 0) notices.push(lostNotice(lost, address.display));
      return { notices, oids: oidsOf(all.filter(has)) };
    },

    async upload(oids, signal) {
      if (oids.length === 0) return;
      const script = local ? LFS_PUSH_LOCAL : LFS_PUSH;
      const { code, error } = await withSource(script, oids, signal, { push: true, lfs: true });
      if (code === 0) return;
      const text = `the objects of Git LFS could not be uploaded: ${error || `git-lfs ended with ${code}`}`;
      throw new RepositoryError(text, undefined, faultIn(text, address));
    },
  };
}

/** Without that of an empty file, which is none. */
const oidsOf = (pointers: readonly LfsPointer[]): string[] => [
  ...new Set(pointers.filter(({ size }) => size > 0).map(({ oid }) => oid)),
];
