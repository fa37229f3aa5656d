import { expect, test } from "bun:test";
import { createReleaseStack } from "../../src/app/release-stack.ts";
import { createLogger } from "../../src/observability/logger.ts";

test("parts close in reverse order, once, and one that fails or hangs does not keep the others open", async () => {
  const logged: string[] = [];
  const logger = createLogger({ level: "info", write: (line) => void logged.push(line) });
  const stack = createReleaseStack(logger);
  const closed: string[] = [];
  stack.add("first", async () => closed.push("first"));
  stack.add("fails", () => Promise.reject(new Error("broken")));
  stack.add("hangs", () => new Promise(() => undefined), 10);
  stack.add("last", async () => closed.push("last"));
  await Promise.all([stack.release(), stack.release()]);
  expect(closed).toEqual(["last", "first"]);
  expect(logged.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({ part: "hangs", error: "not closed within 10 ms" }),
    expect.objectContaining({ part: "fails", error: "broken" }),
  ]);
});
