import type { Orm } from "../db/client.ts";
import { messageOf } from "../errors.ts";
import type { Logger } from "../observability/logger.ts";
import { type Fence, LeaseLost, renewLeases } from "./store.ts";

/** A runner that dies is superseded this long after its last heartbeat. */
export const LEASE_TTL_MS = 10_000;
const HEARTBEAT_MS = 2_500;

/** The heartbeat of all leases that one process holds: one statement for all of them. */
export interface LeaseKeeper {
  /** Names this process in the lease; new at each start, so that a restart is another owner. */
  readonly owner: string;
  /** A signal that aborts with LeaseLost when the run is superseded, or when its lease could not be renewed in time. */
  hold(run: Fence): { signal: AbortSignal; release(): void };
  close(): Promise<void>;
}

export function openLeaseKeeper(options: { orm: Orm; logger: Logger }): LeaseKeeper {
  const { orm, logger } = options;
  const owner = crypto.randomUUID();
  const held = new Map<string, { epoch: number; renewedAt: number; controller: AbortController }>();

  const beat = async () => {
    if (held.size === 0) return;
    const startedAt = performance.now();
    // Claimed after the statement began: not in its answer, and not lost either.
    const asked = [...held];
    try {
      const renewed = await renewLeases(orm, owner, LEASE_TTL_MS);
      for (const [promptId, lease] of asked) {
        if (renewed.get(promptId) === lease.epoch) lease.renewedAt = startedAt;
        else lease.controller.abort(new LeaseLost());
      }
    } catch (error) {
      logger.warn("leases could not be renewed", { error: messageOf(error) });
    }
  };
  // Apart from the heartbeat, which may hang on a database that is away: our own clock says when a lease must be
  // taken for lost, before anybody else may take it.
  const watch = () => {
    for (const lease of held.values())
      if (performance.now() - lease.renewedAt > LEASE_TTL_MS - 1_000) lease.controller.abort(new LeaseLost());
  };

  let beating = Promise.resolve();
  let busy = false;
  const timer = setInterval(() => {
    watch();
    if (busy) return;
    busy = true;
    beating = beat().finally(() => {
      busy = false;
    });
  }, HEARTBEAT_MS);

  return {
    owner,
    hold({ promptId, epoch }) {
      const controller = new AbortController();
      held.set(promptId, { epoch, renewedAt: performance.now(), controller });
      return { signal: controller.signal, release: () => void held.delete(promptId) };
    },
    async close() {
      clearInterval(timer);
      await beating;
    },
  };
}
