import type { Orm } from "../db/client.ts";
import { type Effect, readEffect } from "../effects/ledger-store.ts";
import { AppError, type ErrorCode } from "../shared/errors.ts";
import { sleep } from "../shared/time.ts";

/** How long a request waits for an effect; the effect goes on afterwards. */
const WAIT_MS = 20_000;
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 500;

/**
 * Waits until an effect has ended, for a while.
 * @param waiting ends the wait.
 * @returns it as it is then.
 * @throws AppError why it failed.
 */
export async function outcomeOf(orm: Orm, id: string, waiting: AbortSignal): Promise<Effect> {
  const signal = AbortSignal.any([waiting, AbortSignal.timeout(WAIT_MS)]);
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
    const effect = await readEffect(orm, id);
    const { status, result } = effect;
    if (status === "failed")
      throw new AppError((result?.code ?? "forge_refused") as ErrorCode, result?.reason ?? "It failed.");
    // One that is tried again later is not waited for.
    const later = effect.leaseUntil === null && result?.reason !== undefined;
    if (status === "done" || later || signal.aborted) return effect;
    await sleep(pause, signal).catch(() => undefined);
  }
}
