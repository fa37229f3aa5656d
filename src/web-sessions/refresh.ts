import type { TokenVerifier } from "../auth/claims.ts";
import type { Orm } from "../db/client.ts";
import { AppError } from "../shared/errors.ts";
import { sleep } from "../shared/time.ts";
import type { Provider } from "./provider.ts";
import { seal, type Tokens, unseal } from "./secrets.ts";
import {
  claimRefresh,
  deleteWebSession,
  findWebSession,
  postponeRefresh,
  REFRESH_LEASE_S,
  storeRefreshed,
  type WebSessionRow,
} from "./store.ts";

/** Tokens are renewed when this part of their time, and at most so many milliseconds, is left. */
const REST = 0.25;
const MAX_REST_MS = 60_000;
const POLL_MS = 100;
/**
 * How long a request without a valid token waits for another node's renewal: until the lease of one that has died is over. Its
 * own renewal then still ends before the request's time limit.
 */
const WAIT_MS = (REFRESH_LEASE_S + 1) * 1_000;

/** When a token that expires then should be renewed. */
export const refreshTime = (expiresAt: number, now = Date.now()): Date =>
  new Date(expiresAt - Math.min(MAX_REST_MS, (expiresAt - now) * REST));

function unlessUnavailable(error: unknown): undefined {
  if (error instanceof AppError && error.kind === "unavailable") return undefined;
  throw error;
}

/**
 * Renews the tokens of web sessions before they expire. Of all requests, on all nodes, one renews: a provider that rotates
 * refresh tokens takes a second use of one for a theft, and ends the session. The lease on the row decides who; the provider
 * is asked outside of a transaction. The others go on with the old token while it is valid, and wait for the new one then.
 */
export function createRefresher(options: {
  orm: Orm;
  verifier: TokenVerifier;
  provider: Provider | undefined;
  waitMs?: number;
}) {
  const { orm, verifier, provider, waitMs = WAIT_MS } = options;
  /** Of this process, by the session's id. */
  const pending = new Map<string, Promise<Tokens | undefined>>();

  /**
   * The tokens to go on with; undefined if the session has ended.
   * @throws AppError `identity_provider_unavailable` if the token has expired, and the provider does not answer, or another
   *   node's renewal has not ended in time.
   */
  return async function current(id: string, secret: string, row: WebSessionRow): Promise<Tokens | undefined> {
    const tokens = unseal(row.sealedTokens, secret);
    if (!provider || tokens?.refresh === undefined || !row.refreshAt || row.refreshAt.getTime() > Date.now())
      return tokens;
    const isValid = () =>
      verifier.verify(tokens.access).then(
        () => true,
        () => false,
      );
    const running = pending.get(id);
    if (running && (await isValid())) return tokens;
    const renewal = pending.get(id) ?? start(id, secret, row, isValid);
    try {
      return await renewal;
    } catch (error) {
      if (await isValid()) return tokens;
      throw error;
    }
  };

  function start(id: string, secret: string, row: WebSessionRow, isValid: () => Promise<boolean>) {
    const renewal = renew(id, secret, row, isValid).finally(() => pending.delete(id));
    pending.set(id, renewal);
    return renewal;
  }

  async function renew(
    id: string,
    secret: string,
    row: WebSessionRow,
    isValid: () => Promise<boolean>,
  ): Promise<Tokens | undefined> {
    const { sealedTokens: old } = row;
    const deadline = performance.now() + waitMs;
    while (!(await claimRefresh(orm, id, old))) {
      // Another node renews, or has done so, or the session has been signed out.
      const now = await findWebSession(orm, id);
      if (now?.sealedTokens !== old) return now && unseal(now.sealedTokens, secret);
      if (await isValid()) return unseal(old, secret);
      // The session stays: the next request waits again, or renews.
      if (performance.now() >= deadline)
        throw new AppError(
          "identity_provider_unavailable",
          "The sign-in is being renewed, and the identity provider has not answered yet; try again in a moment.",
        );
      await sleep(POLL_MS);
    }
    const tokens = unseal(old, secret);
    if (!provider || tokens?.refresh === undefined) return tokens;
    const { refresh } = tokens;
    try {
      const renewed = await provider.refresh({ ...tokens, refresh });
      if (!renewed) return await endOrTakeOver(id, secret, old);
      const user = await verifier.verify(renewed.access).catch(unlessUnavailable);
      // Even while the keys cannot be fetched that say whose they are: the old refresh token is used up. Each request checks
      // that they are the user's, and the next one renews them.
      const stored = await storeRefreshed(orm, id, {
        old,
        sealedTokens: seal(renewed, secret),
        refreshAt: user ? refreshTime(user.expiresAt) : new Date(),
      });
      return stored ? renewed : await tokensInStore(id, secret);
    } catch (error) {
      await postponeRefresh(orm, id, old);
      throw error;
    }
  }

  async function tokensInStore(id: string, secret: string): Promise<Tokens | undefined> {
    const row = await findWebSession(orm, id);
    return row && unseal(row.sealedTokens, secret);
  }

  /** The provider has refused the refresh token. If that is no longer the stored one, another node was faster. */
  async function endOrTakeOver(id: string, secret: string, old: string): Promise<Tokens | undefined> {
    const row = await findWebSession(orm, id);
    if (row && row.sealedTokens !== old) return unseal(row.sealedTokens, secret);
    await deleteWebSession(orm, { id, everywhere: false });
    return undefined;
  }
}
