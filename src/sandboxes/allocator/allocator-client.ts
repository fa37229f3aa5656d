import type { BorrowedItem } from "../../db/json-columns.ts";
import { messageOf } from "../../shared/errors.ts";
import { RepositoryError } from "../git/git-errors.ts";
import { SandboxUnavailable } from "../sandbox.ts";

/** Seconds that one request to borrow waits at the allocator; then it is asked again. */
const WAIT_S = 20;
const MARGIN_MS = 15_000;
const RETURN_TIMEOUT_MS = 30_000;

export interface Borrowed {
  item: BorrowedItem;
  borrow_token: string;
}

/** The IP allocator's two operations. What it says is never repeated: it may hold secrets. */
export interface AllocatorClient {
  /** @throws SandboxUnavailable when all are lent; RepositoryError, passing, when it is away or makes no sense. */
  borrow(signal: AbortSignal): Promise<Borrowed>;
  /** Idempotent: what it does not know of any more has been returned. @throws Error */
  giveBack(borrowed: Borrowed): Promise<void>;
}

export function createAllocatorClient(url: string): AllocatorClient {
  return {
    async borrow(signal) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(WAIT_S * 1000 + MARGIN_MS)]);
      const reply = await fetch(`${url}/ip/borrow?wait=${WAIT_S}`, {
        signal: limit,
        redirect: "error",
      }).catch((error: unknown) => {
        signal.throwIfAborted();
        throw away(`The sandbox allocator cannot be reached (${messageOf(error)}).`, error);
      });
      const text = await reply.text().catch(() => "");
      signal.throwIfAborted();
      if ([204, 404, 408, 409, 423, 429, 503, 504].includes(reply.status))
        throw new SandboxUnavailable("Waits: all sandboxes of the allocator are lent.");
      if (!reply.ok) throw away(`The sandbox allocator answered with status ${reply.status}.`);
      const borrowed = parse(text);
      if (!borrowed) throw away("The sandbox allocator's answer holds no sandbox.");
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
      await reply.arrayBuffer().catch(() => undefined);
      if (reply.ok || [404, 409, 410].includes(reply.status)) return;
      throw new Error(`the sandbox allocator answered a return with status ${reply.status}`);
    },
  };
}

function away(message: string, cause?: unknown): RepositoryError {
  return new RepositoryError(message, { cause }, true);
}

function parse(text: string): Borrowed | undefined {
  try {
    const { item, borrow_token } = JSON.parse(text) as Partial<Borrowed>;
    const good =
      typeof borrow_token === "string" &&
      typeof item?.mcp_json_string === "string" &&
      typeof item.api_url === "string" &&
      URL.canParse(item.api_url);
    return good ? { item, borrow_token } : undefined;
  } catch {
    return undefined;
  }
}
