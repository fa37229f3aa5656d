import { open } from "node:fs/promises";
import { textUpTo } from "../../shared/bounded-body.ts";
import { messageOf } from "../../shared/errors.ts";
import { isUnavailableStatus } from "../../shared/http-status.ts";
import { type Fault, RepositoryError } from "../git/git-errors.ts";

const REQUEST_TIMEOUT_MS = 120_000;
/** Bytes of a file in one request or reply; larger files are transferred in pieces. */
const PIECE_BYTES = 4 * 1024 * 1024;
/** One piece in base64, and the JSON around it. */
const REPLY_BYTES = Math.ceil((PIECE_BYTES * 4) / 3) + 64 * 1024;
/** The largest file that is downloaded: what a sandbox sends is not to be trusted. */
const FILE_BYTES = 1024 ** 3;
/** Longest quotation of a command's output in an error, characters. */
const QUOTE_LIMIT = 1_000;
/** Marks the end of a command's output, because APIs differ in how they report exit codes. */
const EXIT_MARK = "prompt-backend-exit:";

/** Files and commands of a borrowed sandbox, through the agent-sandbox API. Every method throws RepositoryError. */
export interface RemoteSandbox {
  write(file: string, text: string): Promise<void>;
  /** Copies the file `source` of this machine into the sandbox. */
  upload(source: string, file: string): Promise<void>;
  /** Copies a file of the sandbox to `target` on this machine. @returns its size, bytes. */
  download(file: string, target: string): Promise<number>;
  /**
   * Runs a script that was written before: nothing from a user ever becomes part of a command.
   * @throws RepositoryError with the last line of its output when it fails.
   */
  run(script: string, folder: string): Promise<void>;
}

/**
 * @param options.apiUrl may contain a secret: errors do not repeat it.
 * @param options.maxFileBytes of a download; default: 1 GiB.
 */
export function createRemoteSandbox(options: {
  apiUrl: string;
  signal: AbortSignal;
  maxFileBytes?: number;
}): RemoteSandbox {
  const { signal, maxFileBytes = FILE_BYTES } = options;
  const base = options.apiUrl.replace(/\/+$/, "");

  const call = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
    let fault: Fault = "sandbox";
    try {
      const reply = await fetch(`${base}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: limit,
        redirect: "error",
      });
      const text = await textUpTo(reply, REPLY_BYTES);
      if (!reply.ok) {
        if (!isUnavailableStatus(reply.status)) fault = "machine";
        throw new Error(`status ${reply.status}`);
      }
      const { success, data } = JSON.parse(text) as { success?: boolean; data?: Record<string, unknown> };
      if (success === false) throw new Error("success is false");
      return data ?? {};
    } catch (error) {
      signal.throwIfAborted();
      const why = messageOf(error).replaceAll(base, "its API");
      throw new RepositoryError(
        `A request to the borrowed sandbox failed (${path}: ${why}).`,
        { cause: error },
        fault,
      );
    }
  };
  const exec = async (command: string, folder: string) => {
    const data = await call("/v1/shell/exec", {
      command: `${command}; echo "${EXIT_MARK}$?"`,
      exec_dir: folder,
      timeout: REQUEST_TIMEOUT_MS / 1000,
      async_mode: false,
    });
    const output = String(data["output"] ?? "");
    const [, printed = "", code] = new RegExp(`^([^]*)${EXIT_MARK}(\\d+)\\s*$`).exec(output) ?? [];
    return { printed, code: code === undefined ? undefined : Number(code) };
  };
  const writePiece = (file: string, piece: Buffer) =>
    call("/v1/file/write", { file, content: piece.toString("base64"), encoding: "base64" });
  const tooLarge = (file: string) =>
    new RepositoryError(`The file ${file} of the borrowed sandbox is larger than ${maxFileBytes} bytes.`);

  return {
    write: async (file, text) => void (await writePiece(file, Buffer.from(text))),

    async upload(source, file) {
      const handle = await open(source, "r");
      try {
        const { size } = await handle.stat();
        const pieces = Math.max(1, Math.ceil(size / PIECE_BYTES));
        const buffer = Buffer.allocUnsafe(Math.min(size, PIECE_BYTES));
        for (let piece = 0; piece < pieces; piece += 1) {
          const name = pieces === 1 ? file : `${file}.${String(piece).padStart(6, "0")}`;
          const { bytesRead } = await handle.read(buffer, 0, buffer.length, piece * PIECE_BYTES);
          await writePiece(name, buffer.subarray(0, bytesRead));
        }
        if (pieces > 1) await exec(`cat '${file}'.[0-9]* > '${file}' && rm '${file}'.[0-9]*`, "/");
      } finally {
        await handle.close();
      }
    },

    async download(file, target) {
      const handle = await open(target, "w", 0o600);
      try {
        // Counted here, because the sandbox may send full pieces without end. All but the last one are full, so this also
        // bounds their number.
        for (let size = 0, piece = 0; ; piece += 1) {
          const command = `dd if='${file}' bs=${PIECE_BYTES} skip=${piece} count=1 2>/dev/null | base64 -w 0; echo`;
          const { printed } = await exec(command, "/");
          const part = Buffer.from(printed.trim(), "base64");
          size += part.length;
          if (size > maxFileBytes) throw tooLarge(file);
          await handle.writeFile(part);
          if (part.length < PIECE_BYTES) return size;
        }
      } finally {
        await handle.close();
      }
    },

    async run(script, folder) {
      const { printed, code } = await exec(`sh '${script}' 2>&1`, folder);
      if (code === 0) return;
      const last = (printed.trim().split("\n").at(-1) ?? "").slice(0, QUOTE_LIMIT);
      throw new RepositoryError(
        `A command in the borrowed sandbox failed: ${last || "it printed nothing"}`,
        undefined,
        code === undefined ? "sandbox" : "request",
      );
    },
  };
}
