import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { Secret } from "../../src/shared/secret.ts";

const secret = new Secret("correct horse");

test("a secret is *** however it is printed, and only reveal returns it", () => {
  expect(`${secret} ${JSON.stringify({ secret })} ${Bun.inspect({ secret })}`).not.toContain("horse");
  expect(String(secret)).toBe("***");
  expect(secret.reveal()).toBe("correct horse");
});

describe("equals", () => {
  test("accepts the same text alone", () => {
    expect(secret.equals("correct horse")).toBe(true);
    for (const given of ["", "correct hors", "correct horse ", "Correct horse", "***"])
      expect([given, secret.equals(given)]).toEqual([given, false]);
  });

  test("compares texts of any length and characters", () => {
    expect(new Secret("é").equals("e\u0301")).toBe(false);
    expect(new Secret("").equals("")).toBe(true);
    expect(new Secret("x".repeat(100_000)).equals("x".repeat(100_000))).toBe(true);
  });
});

test("sign is the HMAC-SHA256 of the parts, in hexadecimal, and depends on the secret and every byte", () => {
  const expected = createHmac("sha256", "correct horse").update("17.body").digest("hex");
  expect(secret.sign("17.", new TextEncoder().encode("body")).equals(expected)).toBe(true);
  expect(secret.sign("17.", "body ").equals(expected)).toBe(false);
  expect(new Secret("another").sign("17.body").equals(expected)).toBe(false);
});
