import type { KeyedMutex } from "../../shared/keyed-mutex.ts";
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

/** Tells that a credential is about to be sent to a repository's host, if there is one. */
export async function tellSecretUse(
  { hosted }: RepoAddress,
  { useSecret }: Pick<FetchRequest, "useSecret">,
): Promise<void> {
  if (hosted?.host.credential) await useSecret?.(hosted.host.setting, new URL(hosted.host.url).host);
}
