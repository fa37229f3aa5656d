import { createReadStream } from "node:fs";
import { chmod, mkdir, open, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { createTarDecoder, type ParsedTarEntry } from "modern-tar";
import { AppError, messageOf, OperatorError } from "../shared/errors.ts";
import { DATA, FORMAT, HEAD, type Head, MANIFEST, type Manifest } from "./format.ts";
import type { Packed } from "./pack.ts";

/** As it was, whatever the umask: the users of sandboxes read repositories. Writable for nobody else. */
const modeOf = ({ mode = 0 }: ParsedTarEntry["header"], least: number) => (mode & 0o755) | least;
const damaged = (what: string) =>
  new OperatorError(`The backup is damaged: ${what}. Nothing was restored; use another backup file.`);

/**
 * Unpacks a backup into an empty folder and verifies every file's checksum.
 * @param options.migration the newest migration known to this version, milliseconds since 1970.
 * @throws OperatorError when it is not a backup, is damaged or truncated, or was made by a newer version.
 */
export async function unpackBackup(options: {
  file: string;
  folder: string;
  migration: number;
  onProgress: (unpacked: Packed) => void;
}): Promise<Packed & { head: Head }> {
  const { file, folder, migration, onProgress } = options;
  const unpacked: Packed = { files: 0, bytes: 0 };
  const sums: Record<string, string> = {};
  const links: { path: string; target: string }[] = [];
  let head: Head | undefined;
  let manifest: Manifest | undefined;

  const unpackFile = async ({ header, body }: ParsedTarEntry, path: string) => {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const handle = await open(path, "wx", 0o600);
    const hash = new Bun.CryptoHasher("sha256");
    try {
      for await (const chunk of body) {
        hash.update(chunk);
        await handle.writeFile(chunk);
        unpacked.bytes += chunk.length;
      }
      await handle.chmod(modeOf(header, 0o600));
    } finally {
      await handle.close();
    }
    sums[header.name] = hash.digest("hex");
    unpacked.files += 1;
    onProgress(unpacked);
  };
  const unpackEntry = async (entry: ParsedTarEntry) => {
    const { header, body } = entry;
    if (!head) {
      if (header.name !== HEAD) throw new OperatorError(`${file} is not a backup of prompt-backend.`);
      head = checkedHead(await new Response(body).json(), migration);
      return;
    }
    if (header.name === MANIFEST) {
      manifest = (await new Response(body).json()) as Manifest;
      return;
    }
    const path = join(folder, safePath(header.name));
    if (header.type === "file") return unpackFile(entry, path);
    await body.cancel();
    if (header.type === "directory") {
      await mkdir(path, { recursive: true, mode: 0o700 });
      await chmod(path, modeOf(header, 0o700));
    }
    // Created last, so that nothing is written through a link.
    else if (header.type === "symlink") links.push({ path, target: header.linkname ?? "" });
    else throw damaged(`${header.name} is neither a file nor a folder nor a link`);
  };

  const source = createReadStream(file);
  const gunzip = createGunzip();
  source.on("error", (error) => gunzip.destroy(error));
  try {
    const bytes = Readable.toWeb(source.pipe(gunzip)) as unknown as ReadableStream<Uint8Array>;
    for await (const entry of bytes.pipeThrough(createTarDecoder({ strict: true }))) await unpackEntry(entry);
  } catch (error) {
    if (error instanceof OperatorError || error instanceof AppError) throw error;
    const code = (error as { code?: string }).code ?? "";
    if (code === "ENOENT") throw new OperatorError(`The file ${file} does not exist.`, 1, { cause: error });
    if (code === "ENOSPC" || code === "EACCES" || code === "EISDIR" || code === "EDQUOT")
      throw new OperatorError(`The backup could not be read or written: ${messageOf(error)}.`, 1, {
        cause: error,
      });
    if (!head) throw new OperatorError(`${file} is not a backup of prompt-backend.`, 1, { cause: error });
    throw damaged(messageOf(error));
  } finally {
    source.destroy();
  }
  if (!head) throw new OperatorError(`${file} is not a backup of prompt-backend.`);
  if (!manifest) throw damaged("its end is missing");
  const names = new Set([...Object.keys(manifest.files), ...Object.keys(sums)]);
  for (const name of names)
    if (manifest.files[name] !== sums[name]) throw damaged(`${name} does not match its checksum`);
  for (const { path, target } of links) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await symlink(target, path);
  }
  return { ...unpacked, head };
}

function checkedHead(value: unknown, migration: number): Head {
  const head = value as Partial<Head>;
  if (head.format !== FORMAT || typeof head.migration !== "number")
    throw new OperatorError(
      `The backup has format ${String(head.format)}, but this prompt-backend reads format ${FORMAT}; use the version that made it${head.version ? `, ${head.version}` : ""}.`,
    );
  if (head.migration > migration)
    throw new OperatorError(
      `The backup was made by a newer prompt-backend (${head.version}); restore it with that version.`,
    );
  return head as Head;
}

/** The path below DATA. @throws OperatorError for one that leads elsewhere. */
function safePath(name: string): string {
  const parts = name.slice(DATA.length).split("/").filter(Boolean);
  if (!name.startsWith(DATA) || parts.includes("..") || parts.includes(".") || name.includes("\0"))
    throw damaged(`${JSON.stringify(name)} is not a path in a backup`);
  return parts.join("/");
}
