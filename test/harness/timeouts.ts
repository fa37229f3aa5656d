/** Milliseconds that a test may take: Bun's 5,000 are too few where processes or databases start. */
export const TEST_TIMEOUT_MS = 30_000;
/** The same for a test that follows a run from its claim to its end, or many clients. */
export const SLOW_TEST_TIMEOUT_MS = 60_000;
