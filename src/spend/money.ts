/** Billionths in one US dollar: money is counted in whole ones, so that sums are exact. */
export const NANO = 1_000_000_000;

/** For sentences. */
export const usdText = (nano: number): string => `$${(nano / NANO).toFixed(2)}`;
