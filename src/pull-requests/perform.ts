import { recordAudit } from "../db/audit-log.ts";
import type { Orm } from "../db/client.ts";
import { beginEffect, type Effect, settleEffect } from "../effects/ledger-store.ts";
import { numberBefore } from "../effects/pull-request-store.ts";
import { ForgeError, type MergeMethod, type PullRequest } from "../forges/forge.ts";
import type { Logger } from "../observability/logger.ts";
import { type ArchiveWhen, keepState, type PullRequestSession } from "./store.ts";
import type { Target, TargetOf } from "./targets.ts";
import { pullRequestText } from "./text.ts";

export interface EffectDeps {
  orm: Orm;
  targetOf: TargetOf;
  publicUrl: string | undefined;
  archiveWhen: ArchiveWhen;
  labels: readonly string[];
  reviewers: readonly string[];
  /** After which an effect that cannot be performed has failed. */
  retryMs: number;
  ended: (kind: string, outcome: "done" | "failed") => void;
  logger: Logger;
}

interface Work {
  deps: EffectDeps;
  effect: Effect;
  session: PullRequestSession;
  target: Target;
  signal: AbortSignal;
}

/** Makes the session's pull request, unless its host has it already. @throws ForgeError, EffectTaken */
export async function makePullRequest(work: Work): Promise<void> {
  const { deps, effect, session, target, signal } = work;
  const { forge, repository } = target;
  const { base = "", draft = false, title, body } = effect.request;
  const wanted = { head: session.branch, base };
  const find = async () => {
    const found = await forge.findPullRequest(repository, wanted, signal);
    return found && isIts(found, effect, session) ? found : undefined;
  };
  let made = await find();
  const adopted = made !== undefined;
  if (!made) {
    const text = pullRequestText(session, { title, body, base }, deps.publicUrl);
    await beginEffect(deps.orm, effect);
    made = await forge
      .createPullRequest(repository, { ...text, ...wanted, draft }, signal)
      .catch(async (error: unknown) => {
        const there = error instanceof ForgeError && error.fault === "exists" ? await find() : undefined;
        if (there) return there;
        throw error;
      });
  }
  const { number, url } = made;
  // Before labels and reviewers, for whoever waits.
  await keepState(deps.orm, { sessionId: session.id, effectId: effect.id }, made, deps.archiveWhen);
  const { labels, reviewers } = deps;
  const notes =
    labels.length + reviewers.length === 0
      ? []
      : await forge.decoratePullRequest(repository, number, { labels, reviewers }, signal);
  await deps.orm.transaction(async (tx) => {
    await settleEffect(tx, effect, {
      status: "done",
      result: { number, url, ...(notes.length > 0 && { notes: [...notes] }) },
    });
    await recordAudit(tx, {
      actor: session.userId,
      action: "pull_request.create",
      target: `session:${session.id}`,
      detail: { url, adopted },
    });
  });
}

/**
 * Whether a pull request of the session's branch is the one that is wanted. One that has ended is only if it has all of the
 * branch, or if an attempt whose result is not known may have made it.
 */
function isIts(found: PullRequest, effect: Effect, session: PullRequestSession): boolean {
  if (found.number <= numberBefore(effect.key)) return false;
  return found.state === "open" || found.head === session.pushedCommit || effect.status === "uncertain";
}

/** Merges the session's pull request, unless it is merged already. @throws ForgeError, EffectTaken */
export async function mergePullRequest(work: Work & { effectId: string }): Promise<void> {
  const { deps, effect, session, target, effectId, signal } = work;
  const { forge, repository } = target;
  const { number = 0, commit: head = "", method } = effect.request;
  const read = () => forge.readPullRequest(repository, number, signal);
  const keep = (state: PullRequest) =>
    keepState(deps.orm, { sessionId: session.id, effectId }, state, deps.archiveWhen);
  const before = await read();
  await keep(before);
  let commit: string | undefined;
  if (before.state !== "merged") {
    if (before.head !== head)
      throw new ForgeError(
        "conflict",
        `The branch of ${before.url} has moved since it was read: look at it again, then merge it.`,
      );
    await beginEffect(deps.orm, effect);
    ({ commit } = await forge.mergePullRequest(
      repository,
      number,
      { head, method: method as MergeMethod },
      signal,
    ));
    // As far as it is known: what the host says of it later is read then.
    await keep({ ...before, state: "merged" });
  }
  await deps.orm.transaction(async (tx) => {
    await settleEffect(tx, effect, {
      status: "done",
      result: { number, url: before.url, ...(commit !== undefined && { commit }) },
    });
    await recordAudit(tx, {
      actor: session.userId,
      action: "pull_request.merge",
      target: `session:${session.id}`,
      detail: { url: before.url, commit },
    });
  });
}
