/** Milliseconds that a test may take: Bun's own 5,000 are too few for what starts processes or databases. */
export const PATIENCE_MS = 30_000;
