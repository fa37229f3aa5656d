import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../../src/config/config.ts";
import { makeAppKey } from "../harness/app-key.ts";
import { type Env, problemsOf } from "./problems.ts";

const KEY = makeAppKey();
const folder = mkdtempSync(join(tmpdir(), "pb-forges-"));
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
};
const listed = (...entries: unknown[]): Env => ({ FORGES: JSON.stringify(entries) });

/** Each host with its credential in clear text. */
const hostsOf = (env: Env): unknown[] =>
  readConfig(env).forges.map(({ kind, url, apiUrl, credential, setting }) => ({
    ...{ kind, url, apiUrl, setting },
    credential: credential?.kind === "app" ? `app ${credential.appId}` : credential?.token.reveal(),
  }));

const GITHUB = { kind: "github", url: "https://github.com", apiUrl: "https://api.github.com" };
const GITLAB = { kind: "gitlab", url: "https://gitlab.com", apiUrl: "https://gitlab.com/api/v4" };

describe("the hosts that are known", () => {
  test("with nothing set: GitHub and GitLab, without credentials", () => {
    expect(hostsOf({})).toEqual([
      { ...GITHUB, setting: "GITHUB_TOKEN", credential: undefined },
      { ...GITLAB, setting: "GITLAB_TOKEN", credential: undefined },
    ]);
  });

  test("short forms are for their own hosts", () => {
    expect(
      hostsOf({ GITHUB_TOKEN: "ghp_1", GITLAB_TOKEN: "glpat-2", GITLAB_URL: "https://Git.Example:443/" }),
    ).toEqual([
      { ...GITHUB, setting: "GITHUB_TOKEN", credential: "ghp_1" },
      {
        ...{ kind: "gitlab", url: "https://git.example", apiUrl: "https://git.example/api/v4" },
        ...{ setting: "GITLAB_TOKEN", credential: "glpat-2" },
      },
    ]);
  });

  test("FORGES: names, base URLs, addresses of the API, secrets in files, an app", () => {
    const env = {
      ...listed(
        { host: "ghe.example.com", kind: "github", app_id: 12345, private_key_file: file("app.pem", KEY) },
        { host: "https://code.example.com/git/", kind: "gitea", token_file: file("gitea", "t-1\n") },
        { host: "[::1]:3000", kind: "gitea", api_url: "https://api.example.com/v1/" },
        { host: "http://127.0.0.1:8080", kind: "gitlab", token: "t-2" },
      ),
      GITHUB_TOKEN: "ghp_1",
    };
    expect(hostsOf(env)).toEqual([
      {
        ...{ kind: "github", url: "https://ghe.example.com", apiUrl: "https://ghe.example.com/api/v3" },
        ...{ setting: "FORGES", credential: "app 12345" },
      },
      {
        ...{
          kind: "gitea",
          url: "https://code.example.com/git",
          apiUrl: "https://code.example.com/git/api/v1",
        },
        ...{ setting: "FORGES", credential: "t-1" },
      },
      {
        ...{ kind: "gitea", url: "https://[::1]:3000", apiUrl: "https://api.example.com/v1" },
        ...{ setting: "FORGES", credential: undefined },
      },
      {
        ...{ kind: "gitlab", url: "http://127.0.0.1:8080", apiUrl: "http://127.0.0.1:8080/api/v4" },
        ...{ setting: "FORGES", credential: "t-2" },
      },
      { ...GITHUB, setting: "GITHUB_TOKEN", credential: "ghp_1" },
      { ...GITLAB, setting: "GITLAB_TOKEN", credential: undefined },
    ]);
  });

  test("FORGES says what GITHUB_URL is, and FORGES_FILE is FORGES", () => {
    const text = JSON.stringify([{ host: "git.example", kind: "gitea", token: "t-1" }], null, 2);
    expect(hostsOf({ FORGES_FILE: file("forges.json", text), GITHUB_URL: "https://git.example" })).toEqual([
      {
        ...{ kind: "gitea", url: "https://git.example", apiUrl: "https://git.example/api/v1" },
        ...{ setting: "FORGES", credential: "t-1" },
      },
      { ...GITLAB, setting: "GITLAB_TOKEN", credential: undefined },
    ]);
  });

  test.each([
    ["as it is", KEY],
    ["in one line", KEY.trim().replaceAll("\n", "\\n")],
  ])("a GitHub App, its key %s", (_title, key) => {
    const { forges } = readConfig({ GITHUB_APP_ID: "12345", GITHUB_APP_PRIVATE_KEY: key });
    expect(forges[0]).toMatchObject({ ...GITHUB, setting: "GITHUB_APP_PRIVATE_KEY" });
    const { credential } = forges[0] ?? {};
    if (credential?.kind !== "app") throw new Error("no app");
    expect([credential.appId, credential.privateKey.reveal()]).toEqual(["12345", KEY]);
    expect(
      readConfig({ GITHUB_APP_ID: "1", GITHUB_APP_PRIVATE_KEY_FILE: file("key", key) }).forges[0],
    ).toMatchObject({
      credential: { kind: "app" },
    });
  });
});

const HOST = { host: "git.example", kind: "gitea" };

describe("mistakes", () => {
  test.each<[string, Env, string]>([
    ["no JSON", { FORGES: "git.example" }, "FORGES: must be a JSON array such as [{"],
    ["no array", { FORGES: '{"host":"git.example"}' }, "FORGES: must be a JSON array such as [{"],
    ["no object", listed(HOST, "x"), "FORGES: entry 2 is no JSON object (config_invalid_forges)"],
    ["no host", listed({ kind: "gitea" }), "entry 1 has no host (config_invalid_forges)"],
    [
      "no kind",
      listed({ host: "git.example" }),
      "entry 1 has no valid kind; it is one of github, gitlab, gitea",
    ],
    ["an unknown kind", listed({ host: "git.example", kind: "bitbucket" }), "entry 1 has no valid kind"],
    [
      "an unknown key",
      listed({ ...HOST, tokn: "t" }),
      "entry 1 has an unknown key (is token meant?); the keys are host,",
    ],
    ["a key that is no text", listed({ ...HOST, token: 5 }), "entry 1 has a token that is no text"],
    ["a token with a NUL", listed({ ...HOST, token: "a\0b" }), "entry 1 has a token that is no text"],
    [
      "two lines",
      listed({ ...HOST, token: "a\nb" }),
      "entry 1 has a wrong token: it must not contain white space",
    ],
    [
      "a file that is not there",
      listed({ ...HOST, token_file: "/nonexistent/x" }),
      "entry 1 has a wrong token_file: it cannot be read from what it names: ENOENT (config_secret_file)",
    ],
    [
      "token and file",
      listed({ ...HOST, token: "t", token_file: "/x" }),
      "has token and token_file; keep one",
    ],
    [
      "another protocol",
      listed({ ...HOST, host: "ssh://git.example" }),
      "a wrong host: it must be a URL that starts with",
    ],
    [
      "a wildcard",
      listed({ ...HOST, host: "*.example" }),
      "a wrong host: it must name one host (config_invalid_url)",
    ],
    [
      "a path with a query",
      listed({ ...HOST, host: "git.example/?x" }),
      "it must not have a query or fragment",
    ],
    [
      "a password in the host",
      listed({ ...HOST, host: "me:pass-1@git.example" }),
      "must not contain a user or password",
    ],
    [
      "a password in api_url",
      listed({ ...HOST, api_url: "https://me:pass-1@a.example" }),
      "a wrong api_url: it must not",
    ],
    [
      "a password in GITHUB_URL",
      { GITHUB_URL: "https://me:pass-1@github.com" },
      "GITHUB_URL: must not contain a user",
    ],
    [
      "the same host twice",
      listed(HOST, { ...HOST, host: "https://GIT.example:443/x" }),
      "entry 2 has the host of entry 1; keep one",
    ],
    [
      "the same host by a short form",
      { ...listed({ ...HOST, host: "github.com" }), GITHUB_TOKEN: "ghp_1" },
      "GITHUB_TOKEN: is for https://github.com, which FORGES is for, too; keep one (config_conflict)",
    ],
    [
      "one host by two short forms",
      { GITLAB_URL: "https://github.com", GITLAB_TOKEN: "glpat-1", GITHUB_TOKEN: "ghp_1" },
      "GITLAB_TOKEN: is for https://github.com, which GITHUB_TOKEN is for, too",
    ],
    [
      "http",
      listed({ ...HOST, host: "http://git.example" }),
      "FORGES: would be sent to http://git.example without TLS",
    ],
    [
      "an API over http",
      listed({ ...HOST, api_url: "http://git.example/api" }),
      "FORGES: would be sent to http://git.example without TLS; use https, or list the host in PRIVATE_GIT_HOSTS",
    ],
    [
      "a token over http",
      { GITHUB_URL: "http://git.example", GITHUB_TOKEN: "ghp_1" },
      "GITHUB_TOKEN: would be sent to http://git.example without TLS",
    ],
    ["a name like loopback", listed({ ...HOST, host: "http://127.0.0.1.example" }), "without TLS"],
    [
      "an app without a key",
      { GITHUB_APP_ID: "1" },
      "GITHUB_APP_PRIVATE_KEY: is required with GITHUB_APP_ID",
    ],
    [
      "a key without an app",
      { GITHUB_APP_PRIVATE_KEY: KEY },
      "GITHUB_APP_ID: is required with GITHUB_APP_PRIVATE_KEY",
    ],
    [
      "no key",
      { GITHUB_APP_ID: "1", GITHUB_APP_PRIVATE_KEY: "x" },
      "GITHUB_APP_PRIVATE_KEY: must be an RSA private key",
    ],
    [
      "token and app",
      { GITHUB_APP_ID: "1", GITHUB_APP_PRIVATE_KEY: KEY, GITHUB_TOKEN: "ghp_1" },
      "GITHUB_TOKEN: and GITHUB_APP_ID exclude each other",
    ],
    ["an app_id alone", listed({ ...HOST, kind: "github", app_id: "1" }), "has an app_id and no private_key"],
    ["a key alone", listed({ ...HOST, kind: "github", private_key: KEY }), "has a private_key and no app_id"],
    [
      "token and app in FORGES",
      listed({ ...HOST, kind: "github", app_id: "1", private_key: KEY, token: "t" }),
      "entry 1 has a token and an app; keep one of them (config_conflict)",
    ],
    [
      "an app elsewhere",
      listed({ ...HOST, app_id: "1", private_key: KEY }),
      "an app, which is for kind github only",
    ],
  ])("%s", (_title, env, text) => {
    expect(problemsOf(env)).toEqual([expect.stringContaining(text)]);
  });

  test("http is accepted to this machine, and to a host that is listed as private", () => {
    const hosts = [
      "http://localhost:3000",
      "http://127.0.0.2",
      "http://[::1]:80",
      "http://git.lan",
      "http://git.lan:81",
    ];
    for (const host of hosts)
      expect(
        problemsOf({ ...listed({ ...HOST, host }), PRIVATE_GIT_HOSTS: "git.lan:80,git.lan:81" }),
      ).toEqual([]);
    expect(
      problemsOf({ ...listed({ ...HOST, host: "http://git.lan" }), PRIVATE_GIT_HOSTS: "git.lan:81" }),
    ).toHaveLength(1);
    // Nothing is sent there.
    expect(problemsOf({ GITHUB_URL: "http://git.example" })).toEqual([]);
  });
});
