import { expect, test } from "bun:test";
import { parseHead } from "../../src/egress/http-head.ts";

const headOf = (...lines: string[]) =>
  parseHead(Buffer.from(["GET http://a/ HTTP/1.1", ...lines, "\r\n"].join("\r\n"), "latin1"));

test("values are without the blanks and tabs around them, and keep those within", () => {
  const { headers } = headOf("a:b", "a: \t b \t c \t ", "a:", "a: \t ", "a: \u00a0b\u00a0", "a::b:");
  expect(headers.map(([, value]) => value)).toEqual(["b", "b \t c", "", "", "\u00a0b\u00a0", ":b:"]);
});

// 16 KB of blanks within a value kept the event loop for 0.4 s, before any decision, in a quadratic expression.
test.each([
  ["blanks within a value", (length: number) => `x: a${" ".repeat(length)}b`],
  ["blanks at the end", (length: number) => `x: a${" ".repeat(length)}`],
  ["nothing but blanks", (length: number) => `x:${" ".repeat(length)}`],
])("attack: the time for %s grows with their number, not with its square", (_name, lineOf) => {
  const fastest = (length: number) => {
    const line = lineOf(length);
    const times = Array.from({ length: 20 }, () => {
      const from = performance.now();
      headOf(line);
      return performance.now() - from;
    });
    return Math.min(...times);
  };
  fastest(1_000);
  // Sixteen times as many: up to 16 times as long, where the square takes 256 times.
  expect(fastest(16_000) / fastest(1_000)).toBeLessThan(80);
});
