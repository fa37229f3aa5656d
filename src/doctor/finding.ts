import { messageOf } from "../shared/errors.ts";

export interface Finding {
  check: string;
  status: "ok" | "warn" | "fail";
  /** What was seen. */
  detail: string;
  /** What to do about it, where it is not ok. */
  fix?: string;
}

/** What a check finds, its name apart. */
export type Found = Omit<Finding, "check">;

/** Milliseconds that one check may take. */
const TIMEOUT_MS = 15_000;

export const ok = (detail: string): Found => ({ status: "ok", detail });
export const warn = (detail: string, fix: string): Found => ({ status: "warn", detail, fix });
export const fail = (detail: string, fix: string): Found => ({ status: "fail", detail, fix });

/** Runs one check, within bounds; what it throws is what it found. */
export async function checked(
  check: string,
  work: () => Promise<Found> | Found,
  { fix, timeoutMs = TIMEOUT_MS }: { fix: string; timeoutMs?: number },
): Promise<Finding> {
  const late = Promise.withResolvers<Found>();
  const timer = setTimeout(
    () => late.resolve(fail(`no answer within ${timeoutMs / 1000} s`, fix)),
    timeoutMs,
  );
  try {
    return { check, ...(await Promise.race([(async () => work())(), late.promise])) };
  } catch (error) {
    return { check, ...fail(messageOf(error), fix) };
  } finally {
    clearTimeout(timer);
  }
}
