import { recordAudit } from "../db/audit-log.ts";
import type { Orm } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";

/** Addresses that an entry names; whoever is refused has chosen neither how many there are nor how long they are. */
const MAX_ADDRESSES = 20;
/** Reasons are error codes, of which there are a handful. */
const WINDOW_MS = 60_000;

interface Window {
  count: number;
  addresses: Set<string>;
  since: Date;
}

/**
 * Records requests without a valid token: an entry a minute and reason, with their number and the first addresses, so that
 * nobody can fill the log without a token.
 */
export interface Refusals {
  /** @param reason an error code. */
  record(reason: string, address: string): void;
  /** Stores what is counted. Never rejects. */
  close(): Promise<void>;
}

export function openRefusals(options: { orm: Orm; logger: Logger; windowMs?: number }): Refusals {
  const { orm, logger, windowMs = WINDOW_MS } = options;
  let counted = new Map<string, Window>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let storing = Promise.resolve();

  const store = async () => {
    clearTimeout(timer);
    timer = undefined;
    const windows = [...counted];
    counted = new Map();
    try {
      await recordAudit(
        orm,
        ...windows.map(([reason, { count, addresses, since }]) => ({
          actor: "anonymous",
          action: "auth.refused" as const,
          target: `reason:${reason}`,
          detail: { count, since: since.toISOString(), addresses: [...addresses] },
        })),
      );
    } catch (error) {
      const count = windows.reduce((sum, [, window]) => sum + window.count, 0);
      logger.warn("refused requests were not recorded", { count, error: messageOf(error) });
    }
  };
  const flush = () => {
    storing = storing.then(store);
    return storing;
  };

  return {
    record(reason, address) {
      const window = counted.get(reason) ?? { count: 0, addresses: new Set<string>(), since: new Date() };
      counted.set(reason, window);
      window.count += 1;
      if (window.addresses.size < MAX_ADDRESSES) window.addresses.add(address);
      timer ??= setTimeout(flush, windowMs);
    },
    close: flush,
  };
}
