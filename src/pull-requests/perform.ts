import { recordAudit } from "../db/audit-log.ts";
import type { Orm } from "../db/client.ts";
import { beginEffect, type Effect, settleEffect } from "../effects/ledger-store.ts";
import { numberBefore } from "../effects/pull-request-store.ts";
import { ForgeError, type MergeMethod, type PullRequest } from "../forges/forge.ts";
import type { Logger } from "../observability/logger.ts";
import { type ArchiveWhen, type Heard, hear, keepState, type Made, madeBefore } from "./state-store.ts";
import type { PullRequestSession } from "./store.ts";
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

/** The pull request is made, and its labels and reviewers are not there for `cause`. */
export class Undecorated extends Error {
  override readonly name = "Undecorated";
  constructor(
    readonly made: Made,
    cause: unknown,
  ) {
    super("The pull request lacks its labels or reviewers.", { cause });
  }
}

/** Makes the session's pull request, unless its host has it already. @throws ForgeError, EffectTaken; Undecorated. */
export async function makePullRequest(work: Work): Promise<void> {
  const { deps, effect, target, signal } = work;
  const { orm, labels, reviewers } = deps;
  const made = (await madeBefore(orm, effect)) ?? (await findOrCreate(work));
  const notes =
    labels.length + reviewers.length === 0
      ? []
      : await target.forge
          .decoratePullRequest(target.repository, made.number, { labels, reviewers }, signal)
          .catch((error: unknown) => {
            throw new Undecorated(made, error);
          });
  await settleMade(orm, effect, made, notes);
}

/** @param notes what the host did not accept, sentences. @throws EffectTaken */
export const settleMade = (
  orm: Orm,
  effect: Effect,
  { number, url }: Made,
  notes: readonly string[],
): Promise<void> =>
  settleEffect(orm, effect, {
    status: "done",
    result: { number, url, ...(notes.length > 0 && { notes: [...notes] }) },
  });

/** Kept before it has labels and reviewers, for whoever waits. */
async function findOrCreate(work: Work): Promise<Made> {
  const { deps, effect, session, target, signal } = work;
  const { orm } = deps;
  const { forge, repository } = target;
  const { base = "", draft = false, title, body } = effect.request;
  const wanted = { head: session.branch, base };
  let adopted = true;
  const find = async () => {
    const found = await forge.findPullRequest(repository, wanted, signal);
    return found && isIts(found, effect, session) ? found : undefined;
  };
  const create = async () => {
    const text = pullRequestText(session, { title, body, base }, deps.publicUrl);
    await beginEffect(orm, effect);
    try {
      const created = await forge.createPullRequest(repository, { ...text, ...wanted, draft }, signal);
      adopted = false;
      return created;
    } catch (error) {
      const there = error instanceof ForgeError && error.fault === "exists" ? await find() : undefined;
      if (there) return there;
      throw error;
    }
  };
  const heard = await hear(orm, async () => (await find()) ?? (await create()));
  const { number, url } = heard.state;
  await orm.transaction(async (tx) => {
    // Whose lease has ended meanwhile keeps nothing: another runner finds it.
    await beginEffect(tx, effect);
    await keepState(tx, { sessionId: session.id, effectId: effect.id }, heard, deps.archiveWhen);
    await recordAudit(tx, {
      actor: session.userId,
      action: "pull_request.create",
      target: `session:${session.id}`,
      // An attempt whose answer was lost may have made what was found.
      detail: { url, adopted: adopted && effect.status === "intended" },
    });
  });
  return { number, url };
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
  const keep = (heard: Heard) =>
    keepState(deps.orm, { sessionId: session.id, effectId }, heard, deps.archiveWhen);
  const heard = await hear(deps.orm, () => forge.readPullRequest(repository, number, signal));
  await keep(heard);
  const { state: before } = heard;
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
    // From now on: whoever has asked meanwhile may have been told that it is open. The rest is read later.
    await keep(await hear(deps.orm, async () => ({ ...before, state: "merged" })));
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
