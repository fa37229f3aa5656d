import { createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { createTarPacker, type TarHeader } from "modern-tar";
import { type Item, itemsOf } from "./contents.ts";
import { DATA, HEAD, type Head, MANIFEST, type Manifest } from "./format.ts";

const CHUNK_BYTES = 1024 * 1024;
/** Repositories are compressed already; a higher level would cost much time for little space. */
const GZIP_LEVEL = 3;

export interface Packed {
  files: number;
  bytes: number;
}

/**
 * Writes a backup to a new file that only its owner can read.
 * @param options.sources folders whose contents are merged in the backup; `live` ones are changing while they are read.
 * @param options.onProgress called after each file.
 */
export async function packBackup(options: {
  head: Head;
  sources: readonly { folder: string; live: boolean }[];
  file: string;
  onProgress: (packed: Packed) => void;
}): Promise<Packed> {
  const { head, sources, file, onProgress } = options;
  const { readable, controller } = createTarPacker();
  const packed: Packed = { files: 0, bytes: 0 };
  const manifest: Manifest = { files: {} };

  const addText = async (name: string, value: object) => {
    const bytes = Buffer.from(`${JSON.stringify(value, null, 1)}\n`);
    const writer = controller.add({ name, size: bytes.length, mode: 0o600 }).getWriter();
    await writer.write(bytes);
    await writer.close();
  };
  const addItem = async (item: Item, live: boolean) => {
    const { mode, mtime, kind, target } = item;
    const name = `${DATA}${item.path}`;
    const header: TarHeader = { name, mode, mtime, size: 0, type: kind };
    if (kind === "directory") return controller.add({ ...header, name: `${name}/` }).close();
    if (kind === "symlink") return controller.add({ ...header, linkname: target ?? "" }).close();
    const sum = await addFile(item, header, live);
    if (sum === undefined) return;
    manifest.files[name] = sum;
    packed.files += 1;
    onProgress(packed);
  };
  /** Packs as many bytes as the file has when it is opened; if it shrinks meanwhile, the rest is zeros. */
  const addFile = async (item: Item, header: TarHeader, live: boolean): Promise<string | undefined> => {
    const handle = await open(item.file, "r").catch((error: NodeJS.ErrnoException) => {
      if (live && error.code === "ENOENT") return undefined;
      throw error;
    });
    if (!handle) return undefined;
    try {
      const { size } = await handle.stat();
      const hash = new Bun.CryptoHasher("sha256");
      const writer = controller.add({ ...header, size }).getWriter();
      for (let at = 0; at < size; ) {
        const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, size - at));
        const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
        const some = bytesRead === 0 ? chunk : chunk.subarray(0, bytesRead);
        hash.update(some);
        await writer.write(some);
        at += some.length;
      }
      await writer.close();
      packed.bytes += size;
      return hash.digest("hex");
    } finally {
      await handle.close();
    }
  };
  const produce = async () => {
    try {
      await addText(HEAD, head);
      for (const source of sources)
        for await (const item of itemsOf(source)) await addItem(item, source.live);
      await addText(MANIFEST, manifest);
      controller.finalize();
    } catch (error) {
      controller.error(error);
      throw error;
    }
  };

  const consume = pipeline(
    Readable.fromWeb(readable as Parameters<typeof Readable.fromWeb>[0]),
    createGzip({ level: GZIP_LEVEL }),
    createWriteStream(file, { mode: 0o600 }),
  );
  const [consumed, produced] = await Promise.allSettled([consume, produce()]);
  // If writing failed, e.g. on a full disk, then packing failed because of it.
  if (consumed.status === "rejected" && produced.status === "fulfilled") throw consumed.reason;
  if (produced.status === "rejected") throw produced.reason;
  const handle = await open(file, "r+");
  await handle.sync().finally(() => handle.close());
  return packed;
}
