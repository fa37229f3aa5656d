import { rmdir, unlink } from "node:fs/promises";

/** What is kept of a program's complaints: there may be one for each file. */
const MESSAGE_CHARS = 500;
/** A tree of a hundred thousand levels takes longer than minutes. Others wait to be removed, too. */
const TIMEOUT_MS = 5 * 60_000;

/**
 * Removes a file, or a folder with what is in it, even if an agent made folders in it read-only or too deep for paths.
 * Idempotent. @param timeoutMs for each program. @throws Error with what `rm` says.
 *
 * By programs: Bun's recursive `rm` (1.4.5) takes minutes for some thousands of levels, and blocks a thread of its pool
 * meanwhile, of which there are as many as cores. Theirs take a moment, at the lowest priority.
 */
export async function removeTree(path: string, timeoutMs = TIMEOUT_MS): Promise<void> {
  if (await removeEmpty(path)) return;
  const remove = () => run(["rm", "-rf", "--", path], timeoutMs);
  let failure = await remove();
  // To root, no folder is read-only.
  if (failure !== undefined && process.getuid?.() !== 0) {
    await run(["chmod", "-R", "u+rwX", "--", path], timeoutMs);
    failure = await remove();
  }
  if (failure !== undefined) throw new Error(`${path} could not be removed: ${failure}`);
}

/** Removes a file or an empty folder without a program, which takes milliseconds to start. @returns whether it is gone. */
async function removeEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return true;
    if (code !== "ENOTDIR") return false;
    await unlink(path);
  }
  return true;
}

/** @returns undefined when it has succeeded, else the beginning of what it says. */
async function run([name, ...args]: [string, ...string[]], timeout: number): Promise<string | undefined> {
  const nice = Bun.which("nice");
  const child = Bun.spawn([...(nice ? [nice, "-n", "19"] : []), Bun.which(name) ?? name, ...args], {
    env: { LC_ALL: "C" },
    stdio: ["ignore", "ignore", "pipe"],
    timeout,
    killSignal: "SIGKILL",
  });
  let message = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stderr)
    if (message.length < MESSAGE_CHARS) message += decoder.decode(chunk).slice(0, MESSAGE_CHARS);
  const code = await child.exited;
  return code === 0 ? undefined : message.trim() || `${name} ended with ${child.signalCode ?? code}`;
}
