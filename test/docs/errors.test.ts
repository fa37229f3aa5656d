import { describe, expect, test } from "bun:test";
import { errorReply } from "../../src/api/error-reply.ts";
import { readConfig } from "../../src/config/config.ts";
import { CONFIG_CODES, type ConfigCode } from "../../src/config/mistakes.ts";
import { VARIABLES } from "../../src/config/variables/all.ts";
import { AppError, ERROR_CODES, type ErrorCode, notFound, OperatorError } from "../../src/shared/errors.ts";
import { makeAppKey } from "../harness/app-key.ts";
import { readSources } from "../harness/sources.ts";
import { ROOT, read } from "./guide.ts";

const PAGE = "docs/ERRORS.md";
const [API = "", CONFIGURATION = ""] = (await read(PAGE)).split("\n## ").slice(1);
const codes = Object.keys(ERROR_CODES) as ErrorCode[];
const sources = readSources(`${ROOT}/src`);

/** The entries of a part of the page by their codes, each with its text and the heading that it is under. */
function entriesOf(part: string) {
  return part.split("\n### ").flatMap((section) => {
    const heading = section.split("\n")[0] ?? "";
    return section
      .split("\n#### `")
      .slice(1)
      .map((entry) => ({
        heading,
        code: entry.split("`")[0] ?? "",
        text: entry.replace(/^.*\n/, "").trim(),
      }));
  });
}

describe("codes of replies", () => {
  test("each has an entry, and each entry is a code", () => {
    const entries = entriesOf(API).map(({ code }) => code);
    expect(codes.filter((code) => !entries.includes(code))).toEqual([]);
    expect(entries.filter((code) => !(code in ERROR_CODES))).toEqual([]);
    expect(new Set(entries).size).toBe(entries.length);
  });

  test.each(entriesOf(API))(
    "$code is explained under its status and kind",
    async ({ code, heading, text }) => {
      const reply = errorReply(new AppError(code as ErrorCode, "x"), new Request("http://localhost/"), {});
      const { err } = (await reply.json()) as { err: string };
      expect(heading).toBe(`${reply.status} ${err}`);
      expect(text.length).toBeGreaterThan(30);
      if (reply.status === 503) expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
    },
  );

  test("each is used by some reply", () => {
    const used = sources.flatMap(({ code }) => [
      // Up to the first comma, as some choose between two codes.
      ...[...code.matchAll(/\b(?:new AppError|refused)\(([^,]*)/g)].flatMap(([, first = ""]) =>
        [...first.matchAll(/"(\w+)"/g)].map(([, one]) => one),
      ),
      ...[...code.matchAll(/\bnotFound\("([a-z ]+)"/g)].map(
        ([, what]) => notFound(what as Parameters<typeof notFound>[0], "x").code,
      ),
    ]);
    expect(codes.filter((code) => !used.includes(code))).toEqual([]);
  });
});

describe("configuration mistakes", () => {
  const KEY = makeAppKey();
  /** What one variable alone, or a value that is no JSON, does not show. */
  const TOGETHER: Record<string, string>[] = [
    { AGENT: "command" },
    { AGENT: "claude" },
    { AGENT: "demo", SANDBOX_PROVIDER: "allocator" },
    { KEYCLOAK_ISSUER: "https://sso.example.com", OIDC_CLIENT_ID: "console", AUTH_AUTHORIZED_PARTIES: "ui" },
    { AGENT_COMMAND: '["x"]' },
    { EGRESS: "list" },
    { EGRESS_ALLOW: "a.example" },
    { AUTH_MODE: "oidc" },
    { KEYCLOAK_ISSUER: "https://id.example", LOCAL_REPOSITORIES: "/srv" },
    { AUTH_MODE: "none", HOST: "0.0.0.0" },
    { HOST: "0.0.0.0" },
    { RAILWAY_API_KEY: "x" },
    { RAILWAY_DEPLOYMENT_ID: "x" },
    { GITHUB_APP_ID: "1" },
    { GITHUB_APP_PRIVATE_KEY: KEY },
    { GITHUB_TOKEN: "x", GITHUB_APP_ID: "1", GITHUB_APP_PRIVATE_KEY: KEY },
    { GITLAB_TOKEN: "x", GITHUB_TOKEN: "x", GITLAB_URL: "https://github.com" },
    { GITHUB_URL: "http://git.example", GITHUB_TOKEN: "x" },
    { GITHUB_URL: "http://git.example", GITHUB_APP_ID: "1", GITHUB_APP_PRIVATE_KEY: KEY },
    { GITLAB_URL: "http://git.example", GITLAB_TOKEN: "x" },
    ...[
      { host: "git.example/?x" },
      { host: "http://git.example" },
      { token: "two words" },
      { token_file: "/nonexistent/secret" },
      { token: "x", token_file: "/x" },
      { app_id: "1" },
      { app_id: "1", private_key: "x" },
      { kind: "gitea", private_key: KEY },
    ].map((one) => ({ FORGES: JSON.stringify([{ host: "git.example", kind: "github", ...one }]) })),
  ];
  /** What a file shows that is not there. */
  const FILES = Object.keys(VARIABLES).map((name) => ({ [`${name}_FILE`]: "/nonexistent/secret" }));
  const ALONE = Object.keys(VARIABLES).flatMap((name) =>
    ["☃", "two words"].map((value) => ({ [name]: value })),
  );

  /** Each mistake that an environment has, as it is printed. */
  function mistakesOf(env: Record<string, string>): { variable: string; code: string }[] {
    try {
      readConfig(env);
      return [];
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      return [...error.message.matchAll(/^ {2}([A-Z_]+): .* \((\w+)\)$/gm)].map(
        ([, variable = "", code = ""]) => ({ variable, code }),
      );
    }
  }

  test("each code has an entry, and each entry is a code", () => {
    const entries = entriesOf(CONFIGURATION).map(({ code }) => code);
    expect(entries.toSorted()).toEqual([...CONFIG_CODES].toSorted());
  });

  test.each([...CONFIG_CODES])(
    "%s lists the variables that can have it, at least one",
    (code: ConfigCode) => {
      const { text = "" } = entriesOf(CONFIGURATION).find((one) => one.code === code) ?? {};
      const listed = [...(/^Variables: ([^.]*)\./m.exec(text)?.[1] ?? "").matchAll(/`([A-Z_]+)`/g)].map(
        ([, one]) => one,
      );
      const mistakes = [...ALONE, ...TOGETHER, ...FILES]
        .flatMap(mistakesOf)
        .filter((one) => one.code === code);
      const variables = Object.keys(VARIABLES).filter((name) =>
        mistakes.some(({ variable }) => variable === name),
      );
      expect(variables).not.toEqual([]);
      expect(listed.toSorted()).toEqual(variables.toSorted());
    },
  );
});
