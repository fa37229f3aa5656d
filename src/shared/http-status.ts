/** Whether another try may get another answer: a timeout, a rate limit, or whatever is wrong with the server. */
export const isUnavailableStatus = (status: number): boolean =>
  status === 408 || status === 429 || status >= 500;

/** What Retry-After says, a number of seconds or a date, in milliseconds from now. Undefined: nothing, or no such thing. */
export function retryAfterMs(headers: Headers, now = Date.now()): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (!value) return undefined;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
