import { type Forge, ForgeError, type ForgeFault } from "../forges/forge.ts";
import { credentialName } from "../forges/hosts.ts";
import { oneLine } from "../forges/replies.ts";
import { type Found, fail, ok, warn } from "./finding.ts";

/** Below the time limit of a check, so that a host that does not answer is a warning. */
const ANSWER_MS = 10_000;
/** The host may take the credential when it is there again. */
const AWAY: readonly ForgeFault[] = ["unavailable", "rate_limited"];

/**
 * Whether a host accepts its credential, whose it is, and what it lacks.
 * @param forge of a host that has one.
 */
export async function credentialFound(forge: Forge, timeoutMs = ANSWER_MS): Promise<Found> {
  const { host } = forge;
  const name = credentialName(host);
  const where = new URL(host.url).host;
  const away = (detail: string) =>
    warn(
      detail,
      `check that this machine can reach ${host.apiUrl}; meanwhile prompts and pull requests of its repositories wait`,
    );
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const { owner, lacks } = await forge.checkCredential(signal);
    const whose = owner === null ? ", which may not say whose it is" : ` as ${oneLine(owner)}`;
    const accepted = `${where} accepts ${name}${whose}`;
    if (lacks.length === 0) return ok(accepted);
    return warn(
      `${accepted}; it lacks ${lacks.join(", and ")}`,
      `grant that at ${host.url}, or make another one and set ${host.setting}`,
    );
  } catch (error) {
    if (signal.aborted) return away(`${where} did not answer to ${name} within ${timeoutMs / 1000} s`);
    if (!(error instanceof ForgeError)) throw error;
    const { message, fault } = error;
    if (AWAY.includes(fault)) return away(message);
    return fail(
      message,
      fault === "unauthorised" || fault === "forbidden"
        ? `make another one at ${host.url}, and set ${host.setting}`
        : `check that its API is at ${host.apiUrl}`,
    );
  }
}
