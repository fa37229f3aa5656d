import { Database } from "bun:sqlite";
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type DriverSpec, formerCheckout } from "../agents/driver-spec.ts";
import { readUntrusted } from "../shared/untrusted-file.ts";

/** Of a list of Gemini CLI's folders, and of the path in each. */
const LIST_BYTES = 1024 * 1024;
const PATH_BYTES = 8 * 1024;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Repairs an agent's files of its conversations before it is to continue one: what breaks otherwise was seen with Gemini CLI
 * 0.61.0 and opencode 1.18.33 (docs/AGENTS.md). Where it cannot, the agent says what it lacks.
 */
export async function prepareConversations({ acp, resume }: DriverSpec, env: Environment): Promise<void> {
  if (!acp?.conversations || !resume) return;
  const before = formerCheckout(await readFile(acp.sessionFile, "utf8").catch(() => ""));
  // In isolation, a checkout is always in the same place.
  const moved =
    before !== undefined && before !== acp.checkout ? { from: before, to: acp.checkout } : undefined;
  const home = acp.conversations === "gemini" ? env["GEMINI_CLI_HOME"] : env["XDG_DATA_HOME"];
  if (home === undefined) return;
  if (acp.conversations === "opencode") return moved && moveOpencode(home, moved.to);
  // The agent's own programs can leave anything there, and must not keep it from ever starting again.
  const unrepaired = () => undefined;
  await renameGeminiChats(home).catch(unrepaired);
  if (moved) await moveGemini(home, moved).catch(unrepaired);
}

/**
 * A conversation's file has the minute and the beginning of its id as its name. A process that loads it in the minute of
 * that name empties it first; and what was begun in vain is beside it, shorter.
 */
async function renameGeminiChats(home: string): Promise<void> {
  const largest = new Map<string, { file: string; size: number }>();
  for (const path of await Array.fromAsync(scan(home, ".gemini/tmp/*/chats/session-*.jsonl"))) {
    const file = join(home, path);
    const size = (await stat(file)).size;
    const name = join(dirname(file), `session-2000-01-01T00-00-${basename(file, ".jsonl").slice(-8)}.jsonl`);
    const other = largest.get(name);
    if (!other || other.size < size) largest.set(name, { file, size });
    const lesser = !other ? undefined : other.size < size ? other.file : file;
    if (lesser !== undefined) await rm(lesser);
  }
  for (const [name, { file }] of largest) await rename(file, name);
}

/** Its conversations are those of a path. */
async function moveGemini(home: string, { from, to }: { from: string; to: string }): Promise<void> {
  const list = join(home, ".gemini/projects.json");
  const known = await readWhole(list, LIST_BYTES);
  if (known !== undefined)
    await writeFile(
      list,
      known.replaceAll(JSON.stringify(from), () => JSON.stringify(to)),
    );
  for await (const path of scan(home, ".gemini/{tmp,history}/*/.project_root")) {
    const file = join(home, path);
    if ((await readWhole(file, PATH_BYTES))?.trim() === from) await writeFile(file, to);
  }
}

/** Undefined: it is no file, or a longer one. */
async function readWhole(file: string, most: number): Promise<string | undefined> {
  const bytes = await readUntrusted(file, most + 1);
  return bytes && bytes.length <= most ? bytes.toString("utf8") : undefined;
}

/** The commands of a conversation run where it began. */
function moveOpencode(home: string, to: string): void {
  try {
    using database = new Database(join(home, "opencode/opencode.db"), { readwrite: true, create: false });
    database.run("update session set directory = ?", [to]);
    database.run("update project set worktree = ? where worktree <> '/'", [to]);
  } catch {
    // It has no such file, or another form of it.
  }
}

const scan = (cwd: string, pattern: string) => new Bun.Glob(pattern).scan({ cwd, dot: true });
