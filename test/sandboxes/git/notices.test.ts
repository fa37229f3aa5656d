import { describe, expect, test } from "bun:test";
import { noticesText, quotedName } from "../../../src/sandboxes/git/notices.ts";

describe("what a checkout tells of a hostile repository", () => {
  test("is bounded in number and length, and says how much is left out", () => {
    const told = noticesText(Array.from({ length: 1_000 }, () => "x".repeat(100_000))).split("\n");
    expect(told).toHaveLength(41);
    expect(told[0]).toEndWith("[99000 more characters left out]");
    expect(told.at(-1)).toBe("(960 more of these sentences are left out.)");
    expect(told.join("").length).toBeLessThan(50_000);
    expect(noticesText(["one", "two"])).toBe("one\ntwo");
  });

  test("fits into a column of PostgreSQL", () => {
    expect(noticesText(["a\0b \ud800."])).toBe("ab \ufffd.");
  });

  test("names stay on one line and are cut", () => {
    expect(quotedName('a "b"\n\u001b[31mc')).toBe(String.raw`"a \"b\"\n\u001b[31mc"`);
    expect(quotedName("n".repeat(5_000)).length).toBeLessThan(260);
  });
});
