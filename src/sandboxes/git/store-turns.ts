import type { Config } from "../../config/config.ts";
import type { KeyedMutex } from "../../shared/keyed-mutex.ts";
import { whileDiskLasts } from "./free-space.ts";
import { retryOnLock } from "./git-retry.ts";
import type { RepoAddress } from "./repo-url.ts";
import type { FetchRequest } from "./request.ts";
import { TIDY } from "./scripts.ts";
import type { StoreGit } from "./store-git.ts";
import { amongOthers, ifAlone } from "./store-lock.ts";

const TIDY_MS = 60_000;

/** Does work on a store. @param among how it shares the store with other processes (see store-lock.ts). */
export type InTurn = <T>(
  work: () => Promise<T>,
  signal: AbortSignal,
  among?: typeof amongOthers,
) => Promise<T>;

/**
 * The only work of this process on a store at a time. Nothing that it leaves when it fails stays there.
 * @param mutex of this process.
 */
export function turnsOn({ store, ready, inStore }: StoreGit, mutex: KeyedMutex): InTurn {
  return (work, signal, among = amongOthers) => {
    const tidied = async () => {
      await ready();
      return among(store, signal, work).catch(async (error: unknown) => {
        await ifAlone(store, () => inStore(TIDY, [], AbortSignal.timeout(TIDY_MS))).catch(() => undefined);
        throw error;
      });
    };
    return mutex(store, tidied, signal);
  };
}

/** Does work that writes to a store, and ends it when the disk is nearly full. */
export type DiskLasts = <T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>) => Promise<T>;

/** What is written to a store belongs to no sandbox's quota. `onceUnlocked` does the work again where it fails on a lock. */
export function writesTo(
  { store }: StoreGit,
  { dataDir, runLimits }: Pick<Config, "dataDir" | "runLimits">,
): { diskLasts: DiskLasts; onceUnlocked: DiskLasts } {
  const diskLasts: DiskLasts = (signal, work) =>
    whileDiskLasts({ folder: dataDir, leave: runLimits.minFreeBytes / 2, signal }, work);
  return {
    diskLasts,
    onceUnlocked: (signal, work) =>
      diskLasts(signal, (inTime) => retryOnLock(() => work(inTime), { store, signal: inTime })),
  };
}

/** Tells that a credential is about to be sent to a repository's host, if there is one. */
export async function tellSecretUse(
  { hosted }: RepoAddress,
  { useSecret }: Pick<FetchRequest, "useSecret">,
): Promise<void> {
  if (hosted?.host.credential) await useSecret?.(hosted.host.setting, new URL(hosted.host.url).host);
}
