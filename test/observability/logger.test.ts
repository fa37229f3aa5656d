import { expect, test } from "bun:test";
import { DrizzleQueryError } from "drizzle-orm/errors";
import { createLogger } from "../../src/observability/logger.ts";

function capture(pretty = false) {
  const lines: string[] = [];
  const logger = createLogger({
    level: "debug",
    pretty,
    secrets: ["known-secret-1"],
    write: (line) => void lines.push(line),
  });
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? "null") };
}

test.each([true, false])("secrets are redacted by field name and by value (pretty: %p)", (pretty) => {
  const { logger, lines } = capture(pretty);
  logger.info("with known-secret-1", {
    token: "abc-token",
    nested: { Authorization: "Bearer abc-header" },
  });
  logger.warn("failed", {
    error: new Error("said known-secret-1"),
    borrow_token: "abc-borrow",
    api_key: "abc-key",
  });
  for (const line of lines)
    for (const secret of ["known-secret-1", "abc-token", "abc-header", "abc-borrow", "abc-key"])
      expect(line).not.toContain(secret);
  expect(lines.join()).toContain("***");
});

test("token counts are not redacted", () => {
  const { logger, last } = capture();
  logger.info("used", { input_tokens: 5, tokens: 7 });
  expect(last()).toMatchObject({ input_tokens: 5, tokens: 7 });
});

test("with() adds its fields to every line", () => {
  const { logger, last } = capture();
  logger.with({ session_id: "s" }).with({ prompt_id: "p", run: "p/1" }).info("here", { n: 1 });
  expect(last()).toMatchObject({
    level: "info",
    message: "here",
    session_id: "s",
    prompt_id: "p",
    run: "p/1",
    n: 1,
  });
});

test("each message is rate limited on its own, and the next line has the number suppressed", () => {
  const { logger, lines, last } = capture();
  const now = performance.now;
  let time = 0;
  performance.now = () => time;
  try {
    for (let n = 0; n < 750; n += 1) logger.warn("again and again", { n });
    expect(lines).toHaveLength(500);
    logger.warn("another");
    expect(last()).toMatchObject({ message: "another" });
    time = 10_001;
    logger.warn("again and again");
    expect(last()).toMatchObject({ message: "again and again", suppressed: 250 });
  } finally {
    performance.now = now;
  }
});

test.each([true, false])("a failed query is logged without its parameters (pretty: %p)", (pretty) => {
  const { logger, lines } = capture(pretty);
  const error = new DrizzleQueryError("insert into message values ($1)", ["my words"], new Error("why"));
  logger.error("failed", { error });
  expect(lines.join()).toContain("insert into message values ($1)");
  expect(lines.join()).not.toContain("my words");
});
