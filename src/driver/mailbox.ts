import {
  closeSync,
  constants,
  type FSWatcher,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  watch,
} from "node:fs";
import { join } from "node:path";
import { parseObject } from "../agents/events.ts";

const FILE_BYTES = 256 * 1024;
/** As many as anybody will write in one run; more are not read. */
const FILES = 10_000;
/** In case that a file system tells nothing of its changes. */
const POLL_MS = 2_000;
const NAME = /^(answer|steer)-[\w-]{1,200}\.json$/;

export interface Answer {
  decision: "allow" | "allow_run" | "deny";
  reason: string | null;
}

export interface Steer {
  id: string;
  text: string;
}

export interface MailboxHandlers {
  answer(requestId: string, answer: Answer): void;
  steer(steer: Steer): void;
}

export interface Mailbox extends Disposable {
  /** Hands over what has arrived by now. */
  check(): void;
}

/** The folder where the service leaves answers and steering messages. Each file is handed over once, in the order of names. */
export function openMailbox(folder: string, handlers: MailboxHandlers): Mailbox {
  const seen = new Set<string>();
  const check = () => {
    for (const name of namesIn(folder)) {
      if (seen.has(name) || seen.size >= FILES) continue;
      const text = readBounded(join(folder, name));
      // Such as for want of a descriptor: an answer that is not read now is read with the next look.
      if (text === undefined) continue;
      seen.add(name);
      handOver(text, handlers);
    }
  };
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(folder, check);
    watcher.on("error", () => watcher?.close());
  } catch {
    // There are too many watches, or no folder yet.
  }
  const timer = setInterval(check, POLL_MS);
  check();
  return {
    check,
    [Symbol.dispose]() {
      clearInterval(timer);
      watcher?.close();
    },
  };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => NAME.test(name))
      .sort();
  } catch {
    return [];
  }
}

function readBounded(path: string): string | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { size } = fstatSync(file);
    if (!fstatSync(file).isFile() || size > FILE_BYTES) return undefined;
    const buffer = Buffer.alloc(size);
    let length = 0;
    for (let read = -1; read !== 0 && length < size; length += read)
      read = readSync(file, buffer, length, size - length, length);
    return buffer.toString("utf8", 0, length);
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function handOver(text: string, handlers: MailboxHandlers): void {
  const { kind, id, request_id, text: message, decision, reason } = parseObject(text) ?? {};
  if (kind === "steer" && typeof id === "string" && typeof message === "string")
    handlers.steer({ id, text: message });
  if (kind === "answer" && typeof request_id === "string" && isDecision(decision))
    handlers.answer(request_id, { decision, reason: typeof reason === "string" ? reason : null });
}

const isDecision = (value: unknown): value is Answer["decision"] =>
  value === "allow" || value === "allow_run" || value === "deny";
