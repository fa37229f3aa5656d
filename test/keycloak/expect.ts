import { deepStrictEqual } from "node:assert";

/** Prints a step that did as expected; @throws when it did not. */
export function expect(what: string, saw: unknown, wanted: unknown): void {
  try {
    deepStrictEqual(saw, wanted);
  } catch {
    throw new Error(`${what}: FAILED, saw ${JSON.stringify(saw)} instead of ${JSON.stringify(wanted)}`);
  }
  process.stdout.write(`ok  ${what}\n`);
}
