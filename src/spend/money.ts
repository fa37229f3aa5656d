/** Billionths in one US dollar: money is counted in whole ones, so that sums are exact. */
export const NANO = 1_000_000_000;

/** More than any call costs, in billionths: sums of it are still numbers of the database, whatever an API or a request says. */
export const MOST_COST = 1e14;

/** For sentences: in cents where that is exact, otherwise with more digits, so that a small limit is not shown as none. */
export const usdText = (nano: number): string =>
  `$${(nano / NANO).toFixed(nano < NANO / 1000 ? 9 : 4).replace(/(\.\d\d\d*?)0+$/, "$1")}`;
