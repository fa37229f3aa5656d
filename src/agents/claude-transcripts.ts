import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { openUntrusted } from "../shared/untrusted-file.ts";
import { isListable } from "../shared/untrusted-folder.ts";

/** How much of a transcript is searched for its first message, bytes: the agent can write there, and the file may be huge. */
const SEARCH_BYTES = 64 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;
/** Working directories of one conversation; each may have a transcript that is searched. */
const MAX_FOLDERS = 100;
/** As raw text: in a JSON string these quotes would be escaped. */
const USER_MESSAGE = Buffer.from('"type":"user"');

/** Whether this path below the state directory is the conversation's transcript, or a folder on the way to it. */
export function isTranscript(path: string, isFolder: boolean, conversationId: string): boolean {
  const [first, , file, ...more] = path.split("/");
  if (first !== "projects" || more.length > 0) return false;
  return isFolder ? file === undefined : file === `${conversationId}.jsonl`;
}

/** Whether Claude Code can resume this conversation: one of its transcripts contains a message. */
export async function hasTranscript(stateDir: string, conversationId: string): Promise<boolean> {
  for (const path of await transcripts(stateDir, conversationId))
    if (await containsMessage(path).catch(() => false)) return true;
  return false;
}

/**
 * Removes the conversation's transcripts, or only those that contain no message. Claude Code leaves one behind when it is
 * killed in its first moments; it would refuse to resume it, and to begin a conversation with the same id.
 */
export async function discardTranscripts(
  stateDir: string,
  conversationId: string,
  which: "unusable" | "all",
): Promise<void> {
  for (const path of await transcripts(stateDir, conversationId))
    if (which === "all" || (await containsMessage(path).catch(() => undefined)) === false)
      await rm(path, { force: true });
}

/** Paths where the conversation's transcript may be: its folder is named after the working directory, which may vary. */
async function transcripts(stateDir: string, conversationId: string): Promise<string[]> {
  const projects = join(stateDir, "projects");
  const found = await lstat(projects).catch(() => undefined);
  // Not a link, which would lead out of the sandbox.
  if (!found?.isDirectory() || !isListable(found)) return [];
  const folders = await readdir(projects, { withFileTypes: true }).catch(() => []);
  return folders
    .filter((one) => one.isDirectory())
    .slice(0, MAX_FOLDERS)
    .map((folder) => join(projects, folder.name, `${conversationId}.jsonl`));
}

/** @throws Error if this is no regular file. */
async function containsMessage(path: string): Promise<boolean> {
  const file = await openUntrusted(path);
  if (!file) throw new Error("not a regular file");
  try {
    const buffer = Buffer.alloc(USER_MESSAGE.length + CHUNK_BYTES);
    // The end of each chunk stays in front of the next one: the text may span both.
    let kept = 0;
    for (let position = 0; position < SEARCH_BYTES; ) {
      const { bytesRead } = await file.read(buffer, kept, CHUNK_BYTES, position);
      if (bytesRead === 0) return false;
      position += bytesRead;
      const filled = buffer.subarray(0, kept + bytesRead);
      if (filled.includes(USER_MESSAGE)) return true;
      kept = Math.min(filled.length, USER_MESSAGE.length - 1);
      filled.copy(buffer, 0, filled.length - kept);
    }
    return false;
  } finally {
    await file.close();
  }
}
