import { describe, expect, test } from "bun:test";
import { createClaudeReader } from "../../src/agents/claude-reader.ts";
import { createRedactor, redactingReader } from "../../src/projects/redact.ts";

const VALUE = 'pä55"wo\\rd/+?=&xyz';
const redactorOf = (secrets: Record<string, string>) => createRedactor(Object.entries(secrets));
const redactor = redactorOf({
  TOKEN: VALUE,
  PEM: "-----BEGIN\nMIIEvQIBADANBgkq\nshort\n-----END",
  TINY: "abc",
});
const text = (some: string) => redactor?.text(some) ?? "";
/** As programs do that print ASCII only. */
const ascii = (json: string) =>
  json.replace(/[^ -~]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

describe("secrets in what an agent prints", () => {
  const json = JSON.stringify({ type: "x", text: VALUE });
  const forms: Record<string, string> = {
    "as they are": VALUE,
    "twice in a row": VALUE + VALUE,
    "in JSON": json,
    "in JSON in JSON": JSON.stringify({ type: "x", text: json }),
    "in JSON of ASCII": ascii(json),
    "in JSON with escaped slashes": json.replaceAll("/", "\\/"),
    "in a URL": `https://h/?q=${encodeURIComponent(VALUE)}`,
    "in a form": encodeURIComponent(VALUE).toLowerCase(),
    "in base64": Buffer.from(VALUE).toString("base64"),
    "in base64 for URLs": Buffer.from(VALUE).toString("base64url"),
    "in base64 behind a user": Buffer.from(`me:${VALUE}`).toString("base64"),
    "in base64 in the middle": Buffer.from(`user:${VALUE}\nmore`).toString("base64"),
    "a line of several": "key: MIIEvQIBADANBgkq",
  };
  for (const [how, given] of Object.entries(forms))
    test(how, () => {
      expect(text(`before ${given} after`)).toContain("[secret ");
      expect(text(given)).toMatch(/\[secret (TOKEN|PEM)\]/);
      expect(text(given)).not.toContain(VALUE);
      expect(redactor?.bytes(Buffer.from(given)).toString()).toContain("[secret ");
    });

  test("JSON stays JSON, and everything else as it was", () => {
    for (const given of [forms["in JSON"], forms["in JSON of ASCII"], forms["in JSON in JSON"]] as string[]) {
      const parsed = JSON.parse(text(given));
      expect(JSON.stringify(parsed)).not.toContain("wo");
    }
    for (const given of ["", "abc", "nothing here", '{"a":"\\u0041"}', "x".repeat(100_000)])
      expect(text(given)).toBe(given);
    const binary = Buffer.from(Array.from({ length: 4096 }, (_, at) => at % 256));
    expect(redactor?.bytes(binary)).toEqual(binary);
  });

  test("of two that begin alike, the longer one is replaced as a whole", () => {
    const both = redactorOf({ A: "secret-1", B: "secret-1-and-more" });
    expect(both?.text("secret-1-and-more, secret-1")).toBe("[secret B], [secret A]");
  });

  test("short values alone are nothing to look for", () => {
    expect(redactorOf({ TINY: "abc" })).toBeUndefined();
    expect(text("abc")).toBe("abc");
  });

  test("neither events nor the verdict have them", () => {
    const reader = redactingReader(createClaudeReader(), redactor);
    const content = [{ type: "text", text: `It is ${VALUE}.` }];
    const event = reader.read(JSON.stringify({ type: "assistant", message: { role: "assistant", content } }));
    expect(JSON.stringify(event)).toContain("It is [secret TOKEN].");
    const verdict = reader.verdict({ code: 1, signal: null, stderr: `no ${VALUE}` });
    expect(JSON.stringify(verdict)).toContain("[secret TOKEN]");
    expect(JSON.stringify(verdict)).not.toContain("55");
  });

  test("a line of 10 MB is searched in a moment, with 50 secrets", () => {
    const many = Object.fromEntries(
      Array.from({ length: 50 }, (_, at) => [
        `S${at}`,
        `${Bun.hash(String(at)).toString(36)}-value-of-${at}`,
      ]),
    );
    const search = redactorOf(many);
    const line = JSON.stringify({ type: "user", text: "const value = 1;\n".repeat(600_000) });
    search?.text(line.slice(0, 100_000));
    const began = performance.now();
    expect(search?.text(line)).toBe(line);
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});
