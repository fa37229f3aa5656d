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

  const LONG = "Zk7-qX2m.Rv9_tB4wN8sLd3g";
  const cut = redactorOf({ LONG });
  const base64 = Buffer.from(LONG).toString("base64");
  for (const [how, given] of Object.entries({
    "two lines": [`is ${LONG.slice(0, 11)}`, `${LONG.slice(11)} end`],
    "three lines": [LONG.slice(0, 8), LONG.slice(8, 16), LONG.slice(16)],
    "two lines of base64": [base64.slice(0, 17), base64.slice(17)],
    "two chunks of JSON": [LONG.slice(0, 9), LONG.slice(9)].map((text) =>
      JSON.stringify({ type: "chunk", text }),
    ),
    "two lines in JSON": [
      JSON.stringify({ type: "x", text: `a\n${LONG.slice(0, 10)}\n${LONG.slice(10)}\nb` }),
    ],
    "two lines in JSON in JSON": [
      JSON.stringify({ t: JSON.stringify(`${LONG.slice(0, 10)}\n${LONG.slice(10)}`) }),
    ],
  }))
    test(`a value that is cut into ${how} is replaced in each`, () => {
      const replaced = given.map((line) => cut?.text(line) ?? "");
      for (const line of replaced) expect(line).toContain("[secret LONG]");
      for (let at = 0; at + 8 <= LONG.length; at += 1)
        expect(replaced.join("\n")).not.toContain(LONG.slice(at, at + 8));
      for (let at = 0; at + 8 <= base64.length; at += 1)
        expect(replaced.join("\n")).not.toContain(base64.slice(at, at + 8));
      expect(cut?.names(given.join("\n"))).toEqual([]);
    });

  test("what only begins like a value, or is an ordinary word, stays", () => {
    const words = redactorOf({ A: "assistant-4711-token", B: "https://example.com/a?key=1" });
    for (const given of [
      JSON.stringify({ type: "assistant", url: "https://" }),
      "assistant",
      "https://example.com/a",
    ])
      expect(words?.text(given)).toBe(given);
    expect(cut?.text("Zk7-qX2m.Rv9 and more")).toBe("Zk7-qX2m.Rv9 and more");
  });

  /** The least processor time of several: what else the machine does takes none of it. */
  const least = (work: () => unknown) =>
    Math.min(
      ...Array.from({ length: 3 }, () => {
        const before = process.cpuUsage();
        work();
        const { user, system } = process.cpuUsage(before);
        return user + system;
      }),
    );
  const lineOf = (count: number) =>
    JSON.stringify({ type: "user", text: "const value = 1;\n".repeat(count) });
  const secretsOf = (count: number) =>
    redactorOf(
      Object.fromEntries(
        Array.from({ length: count }, (_, at) => [
          `S${at}`,
          `${Bun.hash(String(at)).toString(36)}-value-of-${at}`,
        ]),
      ),
    );

  test("a search takes time by the length of a line, and hardly by the number of secrets", () => {
    const [one, many] = [secretsOf(1), secretsOf(50)];
    // By its square, the second one would take 400 times as long.
    const [short, long] = [lineOf(20_000), lineOf(400_000)];
    expect(many?.text(long)).toBe(long);
    const base = least(() => many?.text(short));
    expect(least(() => many?.text(long)) / base).toBeLessThan(200);
    expect(least(() => many?.text(long)) / least(() => one?.text(long))).toBeLessThan(20);
  }, 120_000);
});
