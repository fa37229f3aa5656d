/** As the console's own language writes them, and its fields read them. */
const LOCALE = "en";
/** Digits behind the point of less than ten cents, of which cents alone would say little. */
const MOST_DIGITS = 9;
const TEN_CENTS = 0.1;

/** `$0.42`, `$1,234.50`; of less than ten cents, two digits that count: `$0.031`. */
export function usd(amount: number): string {
  const isSmall = amount > 0 && amount < TEN_CENTS;
  const digits = isSmall ? Math.min(1 - Math.floor(Math.log10(amount)), MOST_DIGITS) : 2;
  return amount.toLocaleString(LOCALE, {
    ...{ style: "currency", currency: "USD" },
    ...{ minimumFractionDigits: 2, maximumFractionDigits: digits },
  });
}

/** What is spent of a budget; null: there is none, or it is not known. */
export const usdOf = (spent: number, budget: number | null | undefined): string =>
  budget == null ? usd(spent) : `${usd(spent)} of ${usd(budget)}`;

/** As somebody would type it: `2.50`, `0.031`. */
export function usdInput(amount: number): string {
  const [, whole, cents] = /^(\d+\.\d\d)(\d*?)0*$/.exec(amount.toFixed(MOST_DIGITS)) ?? [];
  return `${whole}${cents}`;
}

/** The most that the service takes. */
const MOST_USD = 1_000_000;
export const NO_AMOUNT = "A number of US dollars above 0 and at most 1,000,000, such as 2.50.";

/** What somebody has typed as an amount; undefined: it is none. */
export function readUsd(text: string): number | undefined {
  const [, number] = /^\$?\s*(\d+\.?\d*|\.\d+)$/.exec(text.trim()) ?? [];
  const amount = Number(number);
  return number !== undefined && amount > 0 && amount <= MOST_USD ? amount : undefined;
}
