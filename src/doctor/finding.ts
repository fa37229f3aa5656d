import { messageOf } from "../shared/errors.ts";
import { withTimeout } from "../shared/time.ts";

export interface Finding {
  check: string;
  status: "ok" | "warn" | "fail";
  /** What was found. */
  detail: string;
  /** What to do about it; absent when the status is ok. */
  fix?: string;
}

/** The result of a check, without the check's name. */
export type Found = Omit<Finding, "check">;

/** Time limit of one check, milliseconds. */
const TIMEOUT_MS = 15_000;

export const ok = (detail: string): Found => ({ status: "ok", detail });
export const warn = (detail: string, fix: string): Found => ({ status: "warn", detail, fix });
export const fail = (detail: string, fix: string): Found => ({ status: "fail", detail, fix });

/** Runs one check within the time limit. An error becomes a failed finding. */
export async function checked(
  check: string,
  work: () => Promise<Found> | Found,
  { fix, timeoutMs = TIMEOUT_MS }: { fix: string; timeoutMs?: number },
): Promise<Finding> {
  try {
    const found = await withTimeout(
      timeoutMs,
      (async () => work())(),
      `no answer within ${timeoutMs / 1000} s`,
    );
    return { check, ...found };
  } catch (error) {
    return { check, ...fail(messageOf(error), fix) };
  }
}
