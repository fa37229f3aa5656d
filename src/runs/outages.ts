import { isDatabaseUnavailable } from "../db/client.ts";
import type { OutageCause } from "../db/columns.ts";
import type { OutageSeries } from "../db/json-columns.ts";
import { RepositoryError } from "../sandboxes/sandbox.ts";
import { messageOf } from "../shared/errors.ts";

const FIRST_DELAY_MS = 5_000;
const LONGEST_DELAY_MS = 10 * 60_000;

/**
 * Something outside the service does not answer, or is overloaded: the prompt waits for it, up to RETRY_TRANSIENT_HOURS, and
 * none of its attempts is used up. `message` is for the user.
 */
export class Outage extends Error {
  override readonly name = "Outage";
  readonly retryAfterMs: number;
  readonly keepsSandbox: boolean;
  readonly isNew: boolean;
  /**
   * @param how.retryAfterMs how long to wait at least.
   * @param how.keepsSandbox its sandbox has work that is nowhere else.
   * @param how.isNew it has answered since the failures before.
   */
  constructor(
    message: string,
    readonly outageCause: OutageCause,
    how: ErrorOptions & { retryAfterMs?: number | undefined; keepsSandbox?: boolean; isNew?: boolean } = {},
  ) {
    super(message, how);
    this.retryAfterMs = how.retryAfterMs ?? 0;
    this.keepsSandbox = how.keepsSandbox ?? false;
    this.isNew = how.isNew ?? false;
  }
}

/** What a failed work on a repository waits for; for other faults, it is nothing outside the service. */
const CAUSES: Readonly<Partial<Record<RepositoryError["fault"], OutageCause>>> = {
  git_host: "git_host",
  sandbox: "sandbox",
  elsewhere: "machine",
};

/** What the prompt must wait for, if the error is of that kind. */
export function outageOf(error: unknown): Outage | undefined {
  if (error instanceof Outage) return error;
  const repositoryCause = error instanceof RepositoryError ? CAUSES[error.fault] : undefined;
  if (repositoryCause !== undefined) return new Outage(messageOf(error), repositoryCause, { cause: error });
  if (isDatabaseUnavailable(error))
    return new Outage("The service's database could not be reached.", "database", { cause: error });
  return undefined;
}

/** The failures so far, with this one. */
export function continued(
  before: OutageSeries | null,
  { outageCause: cause, isNew }: Outage,
  now: Date,
): OutageSeries {
  if (isNew || before?.cause !== cause) return { cause, since: now.toISOString(), tries: 1 };
  return { ...before, tries: before.tries + 1 };
}

/**
 * The delay before the next attempt: 5 s, doubled each time, at most 10 min, minus up to half of it, so that not all that
 * wait for a host come at once; at least what it has asked for, and the last one at the end of the time.
 * @param leftMs until the prompt is given up. @returns undefined: that is now.
 */
export function outageDelayMs(
  { tries }: OutageSeries,
  { retryAfterMs }: Outage,
  leftMs: number,
  random = Math.random,
): number | undefined {
  if (leftMs <= 0) return undefined;
  const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(tries - 1, 20));
  return Math.min(leftMs, Math.max(retryAfterMs, delay * (1 - random() / 2)));
}

/** For the user: what was tried, and what comes. */
export function triedText({ since, tries }: OutageSeries, now: Date, next: Date): string {
  const times = tries === 1 ? "once, at" : `${tries} times since`;
  return `Tried ${times} ${clock(since, now)}; next attempt at ${clock(next.toISOString(), now)} UTC.`;
}

export function givenUpText({ since, tries }: OutageSeries, now: Date): string {
  const minutes = Math.round((now.getTime() - Date.parse(since)) / 60_000);
  const span = minutes < 120 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`;
  const times = tries === 1 ? "once" : `${tries} times in ${span}`;
  return `It was tried ${times} (RETRY_TRANSIENT_HOURS).`;
}

/** The time of day, with the date if that is not today's. */
function clock(at: string, now: Date): string {
  const [date = "", time = ""] = at.split("T");
  const short = time.slice(0, 5);
  return now.toISOString().startsWith(date) ? short : `${date} ${short}`;
}
