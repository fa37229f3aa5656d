import { parseJson, readBytes, requireIdentity } from "../api/request-body.ts";
import type { RateLimits } from "../auth/guard.ts";

/**
 * Reads the JSON of a webhook. A signature covers the bytes as received, and is checked before they are parsed; who has none is
 * limited by address.
 * @param options.authenticate throws AppError if the bytes are not from whom they should be.
 * @throws AppError of that, `rate_limited`, and of the body.
 */
export async function readAuthenticated(
  { request, set }: { request: Request; set: { headers: Record<string, string | number> } },
  options: { limits: RateLimits | undefined; authenticate: (body: Uint8Array) => void },
): Promise<unknown> {
  const raw = await readBytes(request);
  try {
    options.authenticate(raw);
  } catch (refusal) {
    const allowance = await options.limits?.byAddress(request);
    Object.assign(set.headers, allowance?.headers);
    throw allowance?.refusal ?? refusal;
  }
  requireIdentity(request);
  return parseJson(raw);
}
