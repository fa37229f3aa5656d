import type { RateLimits } from "../auth/guard.ts";

/** What signs in and out needs no token, so that each request counts for its address. No cache keeps what they answer. */
export const countByAddress =
  (limits: RateLimits | undefined) =>
  async ({
    request,
    set,
  }: {
    request: Request;
    set: { headers: Record<string, unknown> };
  }): Promise<void> => {
    set.headers["cache-control"] = "no-store";
    const allowance = await limits?.byAddress(request);
    Object.assign(set.headers, allowance?.headers);
    if (allowance?.refusal) throw allowance.refusal;
  };
