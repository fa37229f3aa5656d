import { expect } from "bun:test";
import { readConfig } from "../../src/config/config.ts";
import { OperatorError } from "../../src/shared/errors.ts";

export type Env = Record<string, string>;

/** The problems of an environment, one line each without the heading; none when it is valid. */
export function problemsOf(env: Env, options?: { serves: boolean }): string[] {
  try {
    readConfig(env, options);
    return [];
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    expect(error.exitCode).toBe(1);
    return error.message.split("\n").slice(1);
  }
}
