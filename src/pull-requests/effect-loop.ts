import {
  claimEffect,
  type Effect,
  EffectTaken,
  LEASE_MS,
  postponeEffect,
  settleEffect,
} from "../effects/ledger-store.ts";
import { ForgeError } from "../forges/forge.ts";
import { AppError, type ErrorCode, messageOf } from "../shared/errors.ts";
import { claimLooks, type DueLook, endLook } from "./look-store.ts";
import { type EffectDeps, makePullRequest, mergePullRequest, settleMade, Undecorated } from "./perform.ts";
import { readAgain } from "./read-again.ts";
import { readPullRequest, sessionOf } from "./store.ts";

/** Pull requests that one process reads at a time. */
const LOOKS = 4;
/** Below the lease: what takes longer is given up before another runner may look. */
const TIMEOUT_MS = LEASE_MS - 15_000;
const FIRST_DELAY_MS = 5_000;
const MAX_DELAY_MS = 600_000;

/**
 * Performs the effects that are due, one after the other.
 * @param shutdown ends what is under way; another runner looks what became of it.
 */
export async function performDue(deps: EffectDeps, shutdown: AbortSignal): Promise<void> {
  while (!shutdown.aborted) {
    const one = await claimEffect(deps.orm);
    if (!one) return;
    await perform(deps, one, shutdown);
  }
}

/** Reads again what hosts have said to have changed. */
export async function lookDue(deps: EffectDeps, shutdown: AbortSignal): Promise<void> {
  while (!shutdown.aborted) {
    const due = await claimLooks(deps.orm, LOOKS);
    await Promise.all(due.map((one) => look(deps, one, shutdown)));
    if (due.length < LOOKS) return;
  }
}

async function look(deps: EffectDeps, due: DueLook, shutdown: AbortSignal): Promise<void> {
  const { orm, logger } = deps;
  const signal = AbortSignal.any([shutdown, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    await readAgain(deps, due, signal);
  } catch (error) {
    if (shutdown.aborted) return;
    if (!(error instanceof ForgeError || error instanceof AppError)) throw error;
    logger.warn("a pull request could not be read", { url: due.row.url, reason: error.message });
    const isAway = error instanceof ForgeError && ["rate_limited", "unavailable"].includes(error.fault);
    // It is due again then.
    if (isAway) return;
  }
  await endLook(orm, due.row);
}

async function perform(deps: EffectDeps, effect: Effect, shutdown: AbortSignal): Promise<void> {
  const { orm, logger, ended } = deps;
  const about = { effect: effect.id, kind: effect.kind, session_id: effect.sessionId };
  const fail = async (reason: string, code: ErrorCode) => {
    await settleEffect(orm, effect, { status: "failed", result: { reason, code } });
    ended(effect.kind, "failed");
    logger.warn("an effect failed", { ...about, reason });
  };
  try {
    const session = await sessionOf(orm, effect.sessionId);
    if (!session) return await fail("The session was deleted.", "session_not_found");
    const signal = AbortSignal.any([shutdown, AbortSignal.timeout(TIMEOUT_MS)]);
    const work = { deps, effect, session, target: deps.targetOf(session.repo), signal };
    if (effect.kind === "merge") {
      const { pullRequest } = await readPullRequest(orm, session.userId, session.id);
      await mergePullRequest({ ...work, effectId: pullRequest?.effectId ?? effect.id });
    } else await makePullRequest(work);
    ended(effect.kind, "done");
  } catch (error) {
    // Another runner is at it, or will be when the lease ends.
    if (error instanceof EffectTaken || shutdown.aborted) return;
    if (error instanceof AppError) return await fail(error.message, error.code);
    const made = error instanceof Undecorated ? error.made : undefined;
    const cause = error instanceof Undecorated ? error.cause : error;
    const fault = cause instanceof ForgeError ? cause.fault : undefined;
    const why = fault === undefined ? "The service failed; its log says why." : messageOf(cause);
    const reason = made === undefined ? why : `Labels or reviewers are missing. ${why}`;
    if (fault === undefined) logger.error("an effect could not be performed", { ...about, error: cause });
    // What is made has not failed, whatever it lacks.
    const giveUp = async (why: string, code: ErrorCode) => {
      if (made === undefined) return await fail(why, code);
      await settleMade(orm, effect, made, [why]);
      ended(effect.kind, "done");
    };
    if (fault !== undefined && fault !== "rate_limited" && fault !== "unavailable")
      return await giveUp(reason, fault === "conflict" ? "pull_request_not_mergeable" : "forge_refused");
    const delayMs = delayOf(effect, cause instanceof ForgeError ? cause.retryAt : undefined);
    const leftMs = effect.createdAt.getTime() + deps.retryMs - Date.now();
    if (delayMs > leftMs) {
      const times = effect.attempts === 1 ? "once" : `${effect.attempts} times`;
      return await giveUp(`${reason} It was tried ${times}.`, "forge_refused");
    }
    logger.warn("an effect is tried again", { ...about, delay_ms: delayMs, reason });
    // What an earlier attempt has done stays unknown, unless it is kept.
    const certain = made !== undefined || (fault === "rate_limited" && effect.status === "intended");
    await postponeEffect(orm, effect, { delayMs, result: { reason, ...made }, certain });
  }
}

/** Twice as long each time, up to half of it less at random; not before the host says. */
function delayOf({ attempts }: Effect, retryAt: Date | undefined): number {
  const most = Math.min(FIRST_DELAY_MS * 2 ** Math.min(attempts - 1, 10), MAX_DELAY_MS);
  return Math.max(most * (1 - Math.random() / 2), retryAt === undefined ? 0 : retryAt.getTime() - Date.now());
}
