import type { Orm } from "../db/client.ts";
import { type Fence, LeaseLost } from "../lifecycle/fence.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { renewLeases } from "./lease-store.ts";

/** How long after its last heartbeat a dead runner is superseded, milliseconds. */
export const LEASE_TTL_MS = 8_000;
const HEARTBEAT_MS = 2_000;
/** How long before its expiry a lease that could not be renewed counts as lost, milliseconds. */
const MARGIN_MS = 1_000;

/** The state of a lease, for its run. */
export interface Lease {
  /** Aborts with LeaseLost when the run is superseded, or when its lease could not be renewed in time. */
  readonly lost: AbortSignal;
  /** Aborts when the prompt's user cancels it. */
  readonly cancelled: AbortSignal;
  /** Whether the agent waits for its user, by the last heartbeat. */
  asks(): boolean;
  /** Calls back whenever there may be something for the mailbox of the agent. One listener. */
  onMail(listener: () => void): void;
  release(): void;
}

/** Renews all leases of one process with one statement per heartbeat, which also reports cancellations. */
export interface LeaseManager {
  /** Identifies this process in its leases. */
  readonly owner: string;
  hold(run: Fence & { cancelRequested: boolean }): Lease;
  /** Cancels the run of this prompt, if this process has it. */
  cancel(promptId: string): void;
  /** Tells the run of this prompt, if this process has it, that there is something for its agent. */
  mail(promptId: string): void;
  /** Sends a heartbeat now, because notifications may have been lost with a connection. */
  refresh(): void;
  close(): Promise<void>;
}

interface Held {
  epoch: number;
  renewedAt: number;
  lost: AbortController;
  cancelled: AbortController;
  asks: boolean;
  onMail: (() => void) | undefined;
}

/** @param options.owner this process, by an id that is new at each start: a restarted process is another owner. */
export function openLeaseManager(options: { orm: Orm; owner: string; logger: Logger }): LeaseManager {
  const { orm, owner, logger } = options;
  const held = new Map<string, Held>();

  const beat = async () => {
    if (held.size === 0) return;
    const startedAt = performance.now();
    // A run that is claimed after the statement began is not in its result, but not lost either.
    const asked = [...held];
    try {
      const renewed = await renewLeases(orm, owner, [...held.keys()], LEASE_TTL_MS);
      for (const [promptId, lease] of asked) {
        const now = renewed.get(promptId);
        if (now?.epoch !== lease.epoch) lease.lost.abort(new LeaseLost());
        else lease.renewedAt = startedAt;
        if (now?.cancelRequested) lease.cancelled.abort();
        lease.asks = now?.asks ?? false;
        if (now?.mail) lease.onMail?.();
      }
    } catch (error) {
      logger.warn("leases could not be renewed", { error: messageOf(error) });
    }
  };
  // Independent of the heartbeat, which may hang with the database: our own clock decides when a lease counts as lost.
  const watch = () => {
    for (const lease of held.values())
      if (performance.now() - lease.renewedAt > LEASE_TTL_MS - MARGIN_MS) lease.lost.abort(new LeaseLost());
  };

  let beating = Promise.resolve();
  let busy = false;
  const tick = () => {
    watch();
    if (busy) return;
    busy = true;
    beating = beat().finally(() => {
      busy = false;
    });
  };
  const timer = setInterval(tick, HEARTBEAT_MS);

  return {
    owner,
    hold({ promptId, epoch, cancelRequested }) {
      const lease: Held = {
        epoch,
        renewedAt: performance.now(),
        lost: new AbortController(),
        cancelled: new AbortController(),
        asks: false,
        onMail: undefined,
      };
      if (cancelRequested) lease.cancelled.abort();
      held.set(promptId, lease);
      return {
        lost: lease.lost.signal,
        cancelled: lease.cancelled.signal,
        asks: () => lease.asks,
        onMail(listener) {
          lease.onMail = listener;
        },
        // This process may have started the next run of the same prompt meanwhile.
        release: () => void (held.get(promptId) === lease && held.delete(promptId)),
      };
    },
    mail: (promptId) => held.get(promptId)?.onMail?.(),
    cancel: (promptId) => held.get(promptId)?.cancelled.abort(),
    refresh: tick,
    async close() {
      clearInterval(timer);
      await beating;
    },
  };
}
