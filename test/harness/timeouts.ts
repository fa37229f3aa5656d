/** Milliseconds that a test may take: Bun's 5,000 are too few where processes or databases start. */
export const TEST_TIMEOUT_MS = 30_000;
/** The same for a test that follows a run from its claim to its end, or many clients. */
export const SLOW_TEST_TIMEOUT_MS = 60_000;
/**
 * How long a process may take until it is up: the first start of an embedded one computes for 9 s on an idle machine, and CI
 * has several at once, beside other work.
 */
export const START_TIMEOUT_MS = 180_000;
