import type { BorrowedItem } from "../../db/json-columns.ts";
import { textUpTo } from "../../shared/bounded-body.ts";
import { messageOf } from "../../shared/errors.ts";
import { isUnavailableStatus, retryAfterMs } from "../../shared/http-status.ts";
import { RepositoryError } from "../git/git-errors.ts";
import { SandboxUnavailable } from "../sandbox.ts";

/** Seconds that the allocator may hold a request to borrow before it answers that no sandbox is available. */
const WAIT_S = 20;
const BORROW_TIMEOUT_MS = WAIT_S * 1000 + 15_000;
const RETURN_TIMEOUT_MS = 30_000;
const REPLY_BYTES = 1024 * 1024;
/** Statuses that mean that no sandbox is available now. */
const UNAVAILABLE = [204, 404, 408, 409, 423, 429, 503, 504];
/** The longest Retry-After of the allocator that is honoured, milliseconds: it is asked again while others give back theirs. */
const LONGEST_PAUSE_MS = 10 * 60_000;

export interface Borrowed {
  item: BorrowedItem;
  borrow_token: string;
}

/** The two operations of the IP allocator. Its replies may contain secrets: errors never repeat them. */
export interface AllocatorClient {
  /** @throws SandboxUnavailable if none is available; RepositoryError if the allocator is down or its reply is invalid. */
  borrow(signal: AbortSignal): Promise<Borrowed>;
  /** Idempotent: a sandbox that the allocator does not know has been returned. @throws RepositoryError */
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
        throw unreachable(error);
      });
      const text = await textUpTo(reply, REPLY_BYTES).catch(() => "");
      signal.throwIfAborted();
      if (UNAVAILABLE.includes(reply.status))
        throw new SandboxUnavailable(
          "Waiting: no sandbox is available.",
          Math.min(LONGEST_PAUSE_MS, retryAfterMs(reply.headers) ?? 0),
        );
      if (!reply.ok) throw answered(reply.status);
      const borrowed = parse(text);
      if (!borrowed)
        throw new RepositoryError("The sandbox allocator's reply contains no sandbox.", undefined, "machine");
      return borrowed;
    },

    async giveBack(borrowed) {
      const reply = await fetch(`${url}/ip/return`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(borrowed),
        signal: AbortSignal.timeout(RETURN_TIMEOUT_MS),
        redirect: "error",
      }).catch((error: unknown) => {
        throw unreachable(error);
      });
      await reply.body?.cancel().catch(() => undefined);
      if (reply.ok || [404, 409, 410].includes(reply.status)) return;
      throw answered(reply.status);
    },
  };

  function unreachable(cause: unknown): RepositoryError {
    const why = messageOf(cause).replaceAll(url, "its URL");
    return new RepositoryError(`The sandbox allocator cannot be reached (${why}).`, { cause }, "sandbox");
  }
}

/** An answer that says that the request is wrong counts as an attempt: waiting for hours does not change it. */
const answered = (status: number): RepositoryError =>
  new RepositoryError(
    `The sandbox allocator answered with status ${status}.`,
    undefined,
    isUnavailableStatus(status) ? "sandbox" : "machine",
  );

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
