import { lchownSync, mkdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { readdir, readFile, rename, rm } from "node:fs/promises";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { type AuditAction, type AuditEntry, recordAudit } from "../db/audit-log.ts";
import type { Orm } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf, OperatorError } from "../shared/errors.ts";
import { syncPath } from "../shared/sync-path.ts";

/** What commands do beside the service: it may have the database open, or there is none yet. */
interface NotedAct {
  action: Extract<AuditAction, "token.issue" | `data.${string}`>;
  target: string;
  detail?: Readonly<Record<string, unknown>>;
}

/** Notes that are recorded at once. */
const BATCH = 500;

const folderOf = (dataDir: string) => join(dataDir, "acts");

/**
 * Notes an act in DATA_DIR; the next process that serves there, or the running one, records it. The note is on the disk when
 * this returns.
 * @throws OperatorError if that is impossible: such an act must not take place.
 */
export function noteAct(dataDir: string, { action, target, detail }: NotedAct): void {
  const note: AuditEntry = {
    actor: `cli:${userName()}`,
    action,
    target,
    detail: { ...detail, noted_at: new Date().toISOString() },
  };
  const folder = folderOf(dataDir);
  const file = join(folder, `${Bun.randomUUIDv7()}.json`);
  const draft = `${file}.draft`;
  try {
    const { uid, gid } = statSync(dataDir);
    // Root may run the command in a folder of the service's user, who must read and remove the note.
    const give = (path: string) => process.getuid?.() === 0 && lchownSync(path, uid, gid);
    if (mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined) give(folder);
    writeFileSync(draft, JSON.stringify(note), { mode: 0o600, flag: "wx" });
    give(draft);
    syncPath(draft);
    renameSync(draft, file);
    for (const one of [folder, dirname(folder)]) syncPath(one);
  } catch (error) {
    throw new OperatorError(`Cannot note this for the audit log in ${folder}: ${messageOf(error)}`, 1, {
      cause: error,
    });
  }
}

/** Records what was noted. After a crash halfway, an act may be recorded twice, but never not at all. */
export async function recordNotedActs(options: { orm: Orm; dataDir: string; logger: Logger }): Promise<void> {
  const { orm, dataDir, logger } = options;
  const folder = folderOf(dataDir);
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".json"));
  for (const name of names.toSorted().slice(0, BATCH)) {
    const file = join(folder, name);
    const note = parseNote(await readFile(file, "utf8"));
    if (note) {
      await recordAudit(orm, note);
      await rm(file, { force: true });
    } else {
      // Such as one that a full disk cut off. It must not hold up the others, and may still tell an operator something.
      logger.warn("a note for the audit log is not readable and was set aside", { file });
      await rename(file, `${file}.unreadable`);
    }
  }
}

/** Undefined if it is no entry of the audit log. */
function parseNote(text: string): AuditEntry | undefined {
  let note: Partial<AuditEntry> | null;
  try {
    note = JSON.parse(text);
  } catch {
    return undefined;
  }
  const isEntry = [note?.actor, note?.action, note?.target].every((one) => typeof one === "string");
  return isEntry ? (note as AuditEntry) : undefined;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user id without a name, as in containers.
    return String(process.getuid?.() ?? "unknown");
  }
}
