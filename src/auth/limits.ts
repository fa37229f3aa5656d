import type { AppError } from "../shared/errors.ts";

/** Whether one more request is within somebody's limit. */
export interface Allowance {
  /** What the reply says about the limit. */
  headers: Readonly<Record<string, string>>;
  /** `too_many_requests`, when it is not. */
  refusal: AppError | undefined;
}

/** Counts requests; each call counts one. Never rejects: a count that cannot be had stops nobody. */
export interface RateLimits {
  ofUser(id: string): Promise<Allowance>;
  /** Of the address that the request comes from, where it does not show who sends it. */
  ofStranger(request: Request): Promise<Allowance>;
}
