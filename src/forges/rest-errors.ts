import type { ForgeHost } from "../config/forge-hosts.ts";
import { isUnavailableStatus, retryAfterMs } from "../shared/http-status.ts";
import { capitalised, credentialAdvice } from "./advice.ts";
import { ForgeError, type ForgeFault } from "./forge.ts";
import { credentialName } from "./hosts.ts";
import { believedEnd, oneLine, VERBS } from "./replies.ts";

/** The host answered that it will not. `explained` makes a ForgeError of it, which says what was asked. */
export class RestRefusal extends Error {
  override readonly name = "RestRefusal";
  /** The host's own words, on one line; "" if it has none. */
  readonly said: string;
  constructor(
    readonly status: number,
    text: string,
    readonly headers: Headers,
  ) {
    super(`status ${status}`);
    this.said = wordsOf(text);
  }
}

/** For a promise's `catch`: undefined for refusals with these statuses. @throws any other error. */
export const unlessRefused =
  (...statuses: number[]) =>
  (error: unknown): undefined => {
    if (!(error instanceof RestRefusal && statuses.includes(error.status))) throw error;
  };

/** One operation, for error messages. */
export interface Doing {
  host: ForgeHost;
  /** After "to": "open a merge request in group/name". */
  what: string;
  /** What a token needs for all operations. */
  scopes: string;
  /** What refusals mean here, where it is not the usual. */
  faultOf?: (refusal: RestRefusal) => ForgeFault | undefined;
}

/** Runs one operation; of a refusal it makes a sentence. @throws ForgeError; what a signal aborted with. */
export async function explained<T>(doing: Doing, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RestRefusal)) throw error;
    const { status, said } = error;
    const fault = doing.faultOf?.(error) ?? usualFault(status);
    const retryAt = limitedUntil(error);
    const words = said && `: ${said}`;
    throw new ForgeError(
      fault,
      `${new URL(doing.host.apiUrl).host} ${VERBS[fault]} ${doing.what} (${status}${words}).${advice(fault, error, doing)}`,
      { ...(retryAt && { retryAt }) },
    );
  }
}

/**
 * As `explained`, for what may fail without harm: what the host will not do, however often it is asked, is returned.
 * @param work returns what was not accepted. @throws ForgeError; what a signal aborted with.
 */
export async function whatIsRefused(
  doing: Doing,
  work: () => Promise<readonly string[]>,
): Promise<readonly string[]> {
  try {
    return await explained(doing, work);
  } catch (error) {
    if (error instanceof ForgeError && FINAL.includes(error.fault)) return [error.message];
    throw error;
  }
}

const FINAL: readonly ForgeFault[] = ["forbidden", "missing", "conflict", "invalid"];

function usualFault(status: number): ForgeFault {
  if (status === 401) return "unauthorised";
  if (status === 403) return "forbidden";
  if (status === 409) return "conflict";
  if (status === 429) return "rate_limited";
  // A redirect that has not been followed: a repository that was renamed, or a proxy.
  if (status === 404 || status === 410 || status < 400) return "missing";
  return isUnavailableStatus(status) ? "unavailable" : "invalid";
}

/** What to do about it; begins with a space. */
function advice(fault: ForgeFault, { status }: RestRefusal, { host, scopes }: Doing): string {
  if (status < 400)
    return " It refers to another address, where the credential is not sent: was the repository renamed or moved? Use its present URL.";
  if (fault === "forbidden" && host.credential)
    return ` ${capitalised(credentialName(host))} needs ${scopes}, and its user the permission.`;
  return credentialAdvice(fault, host);
}

/** When it may be tried again, where the host says so. GitLab says it in RateLimit-Reset, seconds since 1970, too. */
function limitedUntil({ status, headers }: RestRefusal): Date | undefined {
  if (!isUnavailableStatus(status)) return undefined;
  const reset = headers.get("ratelimit-reset");
  const wait = retryAfterMs(headers) ?? (reset ? Number(reset) * 1000 - Date.now() : Number.NaN);
  if (!Number.isFinite(wait)) return undefined;
  return believedEnd(wait);
}

/** GitLab: `message` (a text, texts, or texts by field), or `error` and `error_description`. Gitea: `message`. */
function wordsOf(text: string): string {
  try {
    const { message, error_description, error } = JSON.parse(text) as Record<string, unknown>;
    const words = message ?? error_description ?? error ?? "";
    return oneLine(typeof words === "string" ? words : JSON.stringify(words).replace(/["[\]{}]/g, ""));
  } catch {
    return "";
  }
}
