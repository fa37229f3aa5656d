import { type Forge, ForgeError, type ForgeFault, type ListedRepository } from "../forges/forge.ts";
import { type HostedRepository, isNamedRepository } from "../forges/hosts.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { TimeoutError, withTimeout } from "../shared/time.ts";

/** What the hosts suggest, each in the order of its own. */
export interface Suggestions {
  repositories: readonly (HostedRepository & ListedRepository)[];
  /** Hosts of which all or some are missing, and why, as a sentence that says nothing of the service's credentials. */
  unavailable: readonly { host: string; reason: string }[];
}

/** How long a request waits for the hosts, together. */
const PATIENCE_MS = 2_000;
/** How long a host may take for what later requests get. */
const TIMEOUT_MS = 10_000;
const KEPT_MS = 5 * 60_000;
/** After a failure: a page that is opened again does not ask each time. */
const FAILURE_KEPT_MS = 60_000;

interface Answer {
  found: readonly ListedRepository[];
  /** Why all or some are missing; undefined: none is. */
  reason?: string | undefined;
}

/**
 * Asks the hosts that have a credential for repositories that it may push to, and keeps their answers for some minutes. They
 * are those of the service, not of a user: whoever asks must be somebody who may see all of them.
 * @param options.patienceMs for tests.
 */
export function openSuggestions(options: {
  forges: readonly Forge[];
  logger: Pick<Logger, "warn">;
  patienceMs?: number;
}) {
  const { logger, patienceMs = PATIENCE_MS } = options;
  const forges = options.forges.filter(({ host }) => host.credential !== undefined);
  const closing = new AbortController();
  const known = new Map<Forge, { answer: Promise<Answer>; until: number }>();

  const ask = async (forge: Forge): Promise<Answer> => {
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const reasonOf = (error: unknown): string => {
      if (!(error instanceof ForgeError) && !signal.aborted) throw error;
      if (!closing.signal.aborted)
        logger.warn("repositories to suggest could not be listed", {
          host: hostOf(forge),
          error: messageOf(error),
        });
      return error instanceof ForgeError ? REASONS[error.fault] : LATE;
    };
    let reason: string | undefined;
    try {
      const found = await forge.listRepositories(signal, (error) => {
        reason = `Some repositories are missing. ${reasonOf(error)}`;
      });
      return { found, reason };
    } catch (error) {
      return { found: [], reason: reasonOf(error) };
    }
  };

  const answerOf = (forge: Forge): Promise<Answer> => {
    const kept = known.get(forge);
    if (kept && kept.until > Date.now()) return kept.answer;
    const answer = ask(forge);
    // Until it is known what becomes of it, nobody else asks.
    const entry = { answer, until: Number.POSITIVE_INFINITY };
    known.set(forge, entry);
    const keepFor = (ms: number) => {
      entry.until = Date.now() + ms;
    };
    answer.then(
      (one) => keepFor(one.reason === undefined ? KEPT_MS : FAILURE_KEPT_MS),
      () => keepFor(0),
    );
    return answer;
  };

  return {
    /** Takes no longer than two seconds: a host that does takes part in a later answer. */
    async find(): Promise<Suggestions> {
      const answers = await Promise.all(
        forges.map(async (forge) => {
          const answer = withTimeout(patienceMs, answerOf(forge), "it has not answered yet");
          return { forge, ...(await answer.catch(late)) };
        }),
      );
      return {
        repositories: answers.flatMap(({ forge: { host }, found }) =>
          found.map((one) => ({ ...one, host })).filter(isNamedRepository),
        ),
        unavailable: answers.flatMap(({ forge, reason }) =>
          reason === undefined ? [] : [{ host: hostOf(forge), reason }],
        ),
      };
    },

    close: () => closing.abort(),
  };
}

function late(error: unknown): Answer {
  if (error instanceof TimeoutError) return { found: [], reason: LATE };
  throw error;
}

const hostOf = ({ host }: Forge): string => new URL(host.url).host;

const LATE = "It has not answered in time.";
/** The messages of errors quote the host and name settings, which are the operator's. */
const REASONS: Readonly<Record<ForgeFault, string>> = {
  unauthorised: "It does not accept the service's credential.",
  forbidden: "The service's credential may not list repositories.",
  missing: "It has not found what was asked of it.",
  exists: "It refused to list repositories.",
  conflict: "It refused to list repositories.",
  invalid: "It refused to list repositories.",
  rate_limited: "It limits the number of requests; try again later.",
  unavailable: "It could not be reached, or its answer could not be read.",
};
