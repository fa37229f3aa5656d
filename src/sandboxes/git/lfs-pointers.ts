import { pathIn } from "./git-paths.ts";

/** What stands in a commit for a file that is kept with Git LFS. */
export interface LfsPointer {
  /** The SHA-256 of the file's contents, which is the object's name. */
  oid: string;
  size: number;
}

export interface LfsFile {
  path: string;
  /** Of what is in the commit. */
  id: string;
}

/** As git-lfs writes it. Extensions would be programs that the file goes through. */
const POINTER =
  /^version https:\/\/git-lfs\.github\.com\/spec\/v1\noid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n?$/;

/** Reads LFS_FILES and LFS_WORK. */
export function readLfsOutput(
  output: Uint8Array,
  hasAdded: boolean,
): { files: LfsFile[]; added: string[]; pointers: Map<string, LfsPointer> } {
  const bytes = Buffer.from(output);
  const files: LfsFile[] = [];
  let at = 0;
  for (;;) {
    const end = bytes.indexOf(0, at);
    const entry = end < 0 ? bytes.subarray(at, at) : bytes.subarray(at, end);
    at = end < 0 ? bytes.length : end + 1;
    if (entry.length === 0) break;
    const tab = entry.indexOf("\t");
    const [mode = "", id = ""] = entry.subarray(0, tab).toString("latin1").split(" ");
    // No link and no submodule.
    if (mode.startsWith("100")) files.push({ path: pathIn(entry.subarray(tab + 1)), id });
  }
  const added: string[] = [];
  while (hasAdded && at < bytes.length) {
    const line = lineAt(bytes, at);
    at += line.length + 1;
    if (line === "") break;
    added.push(line);
  }
  const pointers = new Map<string, LfsPointer>();
  while (at < bytes.length) {
    const header = lineAt(bytes, at);
    const [id = "", , length] = header.split(" ");
    const from = at + header.length + 1;
    const [, oid, size] = POINTER.exec(bytes.toString("latin1", from, from + Number(length))) ?? [];
    if (oid !== undefined) pointers.set(id, { oid, size: Number(size) });
    at = from + Number(length) + 1;
  }
  return { files, added, pointers };
}

function lineAt(bytes: Buffer, at: number): string {
  const end = bytes.indexOf("\n", at);
  return bytes.toString("latin1", at, end < 0 ? bytes.length : end);
}
