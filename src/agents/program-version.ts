import { tmpdir } from "node:os";
import { signalGroup } from "../shared/signal-group.ts";
import { plain } from "./verdict.ts";

/** How long a program may take to say its version, milliseconds. */
const ANSWER_MS = 10_000;
/** How much of its answer is looked at. */
const ANSWER_CHARACTERS = 4_096;
/** Longest version, characters. */
const LIMIT = 64;
const NUMBER = /\d+(?:\.\d+)+(?:[-+][\w.+-]+)?/;

/**
 * What a program says to `--version`, as short as possible: its number, else its first line. Undefined: it says nothing, fails,
 * or takes too long. Whatever it starts is killed.
 */
export async function programVersion(
  program: string,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  signal.throwIfAborted();
  const child = Bun.spawn([program, "--version"], {
    env: { PATH: path, HOME: tmpdir() },
    cwd: tmpdir(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    detached: true,
  });
  const reader = child.stdout.getReader();
  const end = () => {
    signalGroup(child.pid, "SIGKILL");
    // Something that it has started may hold the pipe open after that.
    void reader.cancel().catch(() => undefined);
  };
  const timer = setTimeout(end, ANSWER_MS);
  signal.addEventListener("abort", end);
  try {
    return versionIn(await firstBytes(reader));
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    end();
  }
}

/** What it has said by the end of a line that says something: what it has started may keep the pipe open. */
async function firstBytes(reader: {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
}): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  while (text.length < ANSWER_CHARACTERS && !/\S.*\n/.test(text)) {
    const { done, value } = await reader.read();
    if (done || !value) break;
    text += decoder.decode(value, { stream: true });
  }
  return text.slice(0, ANSWER_CHARACTERS);
}

function versionIn(text: string): string | undefined {
  const line = plain(text)
    .split("\n")
    .map((one) => one.replace(/\p{C}/gu, "").trim())
    .find((one) => one !== "");
  if (line === undefined) return undefined;
  return (NUMBER.exec(line)?.[0] ?? line).slice(0, LIMIT).toWellFormed();
}
