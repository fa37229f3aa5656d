import { messageOf } from "../../shared/errors.ts";
import { RepositoryError } from "../git/git-errors.ts";

const REQUEST_TIMEOUT_MS = 120_000;
/** Bytes a request or an answer carries; larger files go in pieces. */
const PIECE_BYTES = 4 * 1024 * 1024;
/** Ends a command's output, whatever the API makes of exit codes. */
const EXIT_MARK = "prompt-backend-exit:";

/** Files and commands of a borrowed sandbox, through the agent-sandbox API. */
export interface RemoteSandbox {
  /** @param content text, or bytes. */
  write(file: string, content: string | Uint8Array): Promise<void>;
  /**
   * Runs a script that was written before. Nothing of a user's is ever part of a command's text.
   * @returns what it printed. @throws RepositoryError with its last words when it fails.
   */
  run(script: string, folder: string): Promise<string>;
  /** A file's bytes. */
  read(file: string): Promise<Uint8Array<ArrayBuffer>>;
}

/** @param options.apiUrl may hold a secret: it is not repeated in errors. */
export function createRemoteSandbox(options: { apiUrl: string; signal: AbortSignal }): RemoteSandbox {
  const { signal } = options;
  const base = options.apiUrl.replace(/\/+$/, "");

  const call = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
    try {
      const reply = await fetch(`${base}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: limit,
        redirect: "error",
      });
      const text = await reply.text();
      if (!reply.ok) throw new Error(`status ${reply.status}`);
      const { success, data } = JSON.parse(text) as { success?: boolean; data?: Record<string, unknown> };
      if (success === false) throw new Error("it refused");
      return data ?? {};
    } catch (error) {
      signal.throwIfAborted();
      const why = messageOf(error).replaceAll(base, "it");
      throw new RepositoryError(
        `The borrowed sandbox did not do what it should (${path}: ${why}).`,
        { cause: error },
        true,
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
    const [, said = "", code] = new RegExp(`^([^]*)${EXIT_MARK}(\\d+)\\s*$`).exec(output) ?? [];
    return { said, code: code === undefined ? undefined : Number(code) };
  };

  return {
    async write(file, content) {
      const bytes = Buffer.from(content as Uint8Array);
      const pieces = Math.max(1, Math.ceil(bytes.length / PIECE_BYTES));
      for (let piece = 0; piece < pieces; piece += 1) {
        const name = pieces === 1 ? file : `${file}.${String(piece).padStart(6, "0")}`;
        const part = bytes.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES);
        await call("/v1/file/write", { file: name, content: part.toString("base64"), encoding: "base64" });
      }
      if (pieces > 1) await exec(`cat '${file}'.[0-9]* > '${file}' && rm '${file}'.[0-9]*`, "/");
    },
    async run(script, folder) {
      const { said, code } = await exec(`sh '${script}' 2>&1`, folder);
      if (code === 0) return said;
      const last = said.trim().split("\n").at(-1) ?? "";
      throw new RepositoryError(
        `The borrowed sandbox could not do its part: ${last || "it did not say why"}`,
        undefined,
        code === undefined,
      );
    },
    async read(file) {
      const pieces: Buffer[] = [];
      for (let piece = 0; ; piece += 1) {
        const command = `dd if='${file}' bs=${PIECE_BYTES} skip=${piece} count=1 2>/dev/null | base64 -w 0; echo`;
        const { said } = await exec(command, "/");
        const part = Buffer.from(said.trim(), "base64");
        pieces.push(part);
        if (part.length < PIECE_BYTES) return new Uint8Array(Buffer.concat(pieces));
      }
    },
  };
}
