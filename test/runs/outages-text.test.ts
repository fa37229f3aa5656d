import { expect, test } from "bun:test";
import { givenUpText } from "../../src/runs/outages.ts";

test("what was tried once is not said to have been tried 1 times in 0 minutes", () => {
  const now = new Date("2026-03-01T12:00:00Z");
  const after = (hours: number, tries: number) => {
    const since = new Date(now.getTime() - hours * 3_600_000).toISOString();
    return givenUpText({ cause: "git_host", since, tries }, now);
  };
  expect(after(0, 1)).toBe("It was tried once (RETRY_TRANSIENT_HOURS).");
  expect(after(1, 4)).toContain("4 times in 60 minutes");
  expect(after(6, 9)).toContain("9 times in 6 hours");
});
