import type { BorrowedItem } from "../../db/json-columns.ts";
import { messageOf } from "../../shared/errors.ts";
import { RepositoryError } from "../git/git-errors.ts";
import { SandboxUnavailable } from "../sandbox.ts";
import { textUpTo } from "./bounded-body.ts";

/** Seconds that the allocator may hold a request to borrow before it answers that no sandbox is available. */
const WAIT_S = 20;
const BORROW_TIMEOUT_MS = WAIT_S * 1000 + 15_000;
const RETURN_TIMEOUT_MS = 30_000;
const REPLY_BYTES = 1024 * 1024;
/** Statuses that mean that no sandbox is available now. */
const UNAVAILABLE = [204, 404, 408, 409, 423, 429, 503, 504];

export interface Borrowed {
  item: BorrowedItem;
  borrow_token: string;
}

/** The two operations of the IP allocator. Its replies may contain secrets: errors never repeat them. */
export interface AllocatorClient {
  /** @throws SandboxUnavailable if none is available; a transient RepositoryError if the allocator is down or its reply is invalid. */
  borrow(signal: AbortSignal): Promise<Borrowed>;
  /** Idempotent: a sandbox that the allocator does not know has been returned. @throws Error */
  giveBack(borrowed: Borrowed): Promise<void>;
}

/** @param url base URL, without a trailing slash. */
export function createAllocatorClient(url: string): AllocatorClient {
  return {
    async borrow(signal) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(BORROW_TIMEOUT_MS)]);
      const reply = await fetch(`${url}/ip/borrow?wait=${WAIT_S}`, {
        signal: limit,
        redirect: "error",
      }).catch((error: unknown) => {
        signal.throwIfAborted();
        throw transient(`The sandbox allocator cannot be reached (${messageOf(error)}).`, error);
      });
      const text = await textUpTo(reply, REPLY_BYTES).catch(() => "");
      signal.throwIfAborted();
      if (UNAVAILABLE.includes(reply.status))
        throw new SandboxUnavailable("Waiting: no sandbox is available.");
      if (!reply.ok) throw transient(`The sandbox allocator answered with status ${reply.status}.`);
      const borrowed = parse(text);
      if (!borrowed) throw transient("The sandbox allocator's reply contains no sandbox.");
      return borrowed;
    },

    async giveBack(borrowed) {
      const reply = await fetch(`${url}/ip/return`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(borrowed),
        signal: AbortSignal.timeout(RETURN_TIMEOUT_MS),
        redirect: "error",
      });
      await reply.body?.cancel().catch(() => undefined);
      if (reply.ok || [404, 409, 410].includes(reply.status)) return;
      throw new Error(`the sandbox allocator answered a return with status ${reply.status}`);
    },
  };
}

function transient(message: string, cause?: unknown): RepositoryError {
  return new RepositoryError(message, { cause }, true);
}

function parse(text: string): Borrowed | undefined {
  try {
    const { item, borrow_token } = JSON.parse(text) as Partial<Borrowed>;
    const valid =
      typeof borrow_token === "string" &&
      typeof item?.mcp_json_string === "string" &&
      typeof item.api_url === "string" &&
      URL.canParse(item.api_url);
    return valid ? { item, borrow_token } : undefined;
  } catch {
    return undefined;
  }
}
