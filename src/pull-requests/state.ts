import type { Orm } from "../db/client.ts";
import { ForgeError } from "../forges/forge.ts";
import { AppError } from "../shared/errors.ts";
import { readAgain } from "./read-again.ts";
import type { ArchiveWhen } from "./state-store.ts";
import { type PullRequestRow, readPullRequest } from "./store.ts";
import type { TargetOf } from "./targets.ts";

/** How old the state of a pull request may be that is shown. */
const FRESH_MS = 15_000;
/** How long a reader waits for the host. */
const TIMEOUT_MS = 10_000;

export interface CurrentState {
  pullRequest: PullRequestRow | null;
  /** Why the host could not be asked. */
  problem: string | null;
}

/** Reads the state of pull requests from their hosts when it is old; readers of one session at a time share one request. */
export function createStates(options: { orm: Orm; targetOf: TargetOf; archiveWhen: ArchiveWhen }) {
  const { orm } = options;
  const underWay = new Map<string, Promise<string | null>>();

  /** @returns why it could not be read. */
  async function refresh(repo: string, row: PullRequestRow): Promise<string | null> {
    try {
      await readAgain(options, { repo, row }, AbortSignal.timeout(TIMEOUT_MS));
      return null;
    } catch (error) {
      if (error instanceof ForgeError || error instanceof AppError) return error.message;
      throw error;
    }
  }

  return {
    /** @throws AppError `session_not_found` */
    async read(userId: string, sessionId: string): Promise<CurrentState> {
      const known = await readPullRequest(orm, userId, sessionId);
      const { repo, pullRequest: row } = known;
      if (!row || Date.now() - row.readAt.getTime() < FRESH_MS) return { pullRequest: row, problem: null };
      const id = row.sessionId;
      const work = underWay.get(id) ?? refresh(repo, row).finally(() => underWay.delete(id));
      underWay.set(id, work);
      const problem = await work;
      return { pullRequest: (await readPullRequest(orm, userId, sessionId)).pullRequest, problem };
    },
  };
}
