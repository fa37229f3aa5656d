import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { inspect } from "node:util";
import { isLoopback, readConfig, secretsOf } from "../../src/config/config.ts";
import { OperatorError } from "../../src/shared/errors.ts";

type Env = Record<string, string>;

/** The lines of complaint about an environment, without the heading; none when it is accepted. */
function problemsOf(env: Env, options?: { serves: boolean }): string[] {
  try {
    readConfig(env, options);
    return [];
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    expect(error.exitCode).toBe(1);
    return error.message.split("\n").slice(1);
  }
}

const POSTGRES = "postgres://pb:hunter2hunter2@db.example.com:5432/pb";
const ISSUER = "https://sso.example.com/realms/main";

describe("an empty environment", () => {
  test("is the embedded service on loopback, with the documented defaults", () => {
    expect(readConfig({})).toMatchObject({
      databaseUrl: undefined,
      redisUrl: undefined,
      dataDir: resolve("data"),
      host: "127.0.0.1",
      port: 8000,
      auth: { mode: "local", audience: "prompt-backend" },
      agent: undefined,
      agentCommand: undefined,
      workerConcurrency: 4,
      runLimits: {
        timeoutMs: 3_600_000,
        silenceMs: 900_000,
        resultGraceMs: 30_000,
        minFreeBytes: 512 * 1024 ** 2,
        maxCheckoutBytes: 0,
      },
      corsOrigins: [],
      logLevel: "info",
      shutdownTimeoutMs: 30_000,
    });
  });

  test("and empty or blank variables count as unset", () => {
    expect(readConfig({ PORT: "", HOST: " ", DATABASE_URL: "", KEYCLOAK_ISSUER: " " })).toEqual(
      readConfig({}),
    );
  });

  test("gives an object that nobody can change", () => {
    expect(Object.isFrozen(readConfig({}))).toBe(true);
  });
});

describe("mistakes", () => {
  test("are all reported together, each by its variable's name", () => {
    const problems = problemsOf({
      PORT: "80a",
      DATABASE_URL: "mysql://x/y",
      REDIS_URL: "http://x",
      LOG_LEVEL: "loud",
      AGENT: "gpt",
      WORKER_CONCURRENCY: "0",
      CORS_ORIGINS: "https://ui.example.com/path",
      AUTH_MODE: "maybe",
    });
    const names = problems.map((one) => one.trim().split(":")[0]);
    for (const name of [
      "PORT",
      "DATABASE_URL",
      "REDIS_URL",
      "LOG_LEVEL",
      "AGENT",
      "WORKER_CONCURRENCY",
      "CORS_ORIGINS",
      "AUTH_MODE",
    ])
      expect(names).toContain(name);
  });

  test.each([
    ["PORT", "65536"],
    ["PORT", "-1"],
    ["PORT", "8000.5"],
    ["DATABASE_POOL_MAX", "1"],
    ["WORKER_CONCURRENCY", "257"],
    ["RUN_TIMEOUT_MINUTES", "0"],
    ["SHUTDOWN_TIMEOUT_SECONDS", "3601"],
    ["HOST", "example.com"],
    ["ANTHROPIC_BASE_URL", "api.anthropic.com"],
    ["GITHUB_URL", "git@github.com"],
    ["RATE_LIMIT_PER_MINUTE", "-1"],
    ["MAX_UNFINISHED_PROMPTS", "0"],
    ["TRUSTED_PROXY_HOPS", "11"],
    ["WEBHOOK_SECRET", "too-short"],
  ])("%s=%s is refused", (name, value) => {
    const problems = problemsOf({ [name]: value });
    expect(problems.join("\n")).toContain(`${name}:`);
  });

  test.each([
    ["AGENT_COMMAND without AGENT=command", { AGENT_COMMAND: '["x"]' }, "only used with AGENT=command"],
    ["AGENT=command without AGENT_COMMAND", { AGENT: "command" }, "is required with AGENT=command"],
    ["a command that is no JSON array", { AGENT: "command", AGENT_COMMAND: "my-agent" }, "JSON array"],
    ["an empty command", { AGENT: "command", AGENT_COMMAND: "[]" }, "JSON array"],
    ["a command with a number", { AGENT: "command", AGENT_COMMAND: '["x", 1]' }, "JSON array"],
    ["a Railway key alone", { RAILWAY_API_KEY: "k" }, "RAILWAY_DEPLOYMENT_ID: is required"],
    ["a Railway deployment alone", { RAILWAY_DEPLOYMENT_ID: "d" }, "RAILWAY_API_KEY: is required"],
    ["AGENT=claude without a key", { AGENT: "claude" }, "is required with AGENT=claude"],
  ] as [string, Env, string][])("%s is explained", (_title, env, text) => {
    expect(problemsOf(env).join("\n")).toContain(text);
  });
});

describe("secrets", () => {
  const secrets = { ANTHROPIC_API_KEY: "sk-ant secret-one", GITHUB_TOKEN: "ghp secret-two" };

  test("are never printed, not even when they are what is wrong", () => {
    const all = problemsOf({
      ...secrets,
      HOST: "127.0.0.1",
      DATABASE_URL: "mysql://u:secret-three@h/d",
      REDIS_URL: "tcp://:secret-four@h",
    });
    expect(all).toHaveLength(4);
    expect(all.join("\n")).not.toMatch(/secret-/);
  });

  test("are listed for the logger, passwords decoded", () => {
    const config = readConfig({
      ANTHROPIC_API_KEY: "sk-ant-1",
      GITHUB_TOKEN: "ghp_2",
      WEBHOOK_SECRET: "a-webhook-secret",
      RAILWAY_API_KEY: "railway-5",
      RAILWAY_DEPLOYMENT_ID: "d",
      DATABASE_URL: "postgres://u:p%40ss-3@h/d",
      REDIS_URL: "redis://:pass-4@h",
      KEYCLOAK_ISSUER: ISSUER,
    });
    expect(secretsOf(config)).toEqual([
      ...["sk-ant-1", "ghp_2", "a-webhook-secret", "railway-5"],
      ...["p%40ss-3", "p@ss-3", "pass-4"],
    ]);
    expect(secretsOf(readConfig({}))).toEqual([]);
    // And by their type, however the configuration is printed.
    for (const text of [
      JSON.stringify(config),
      Bun.inspect(config),
      inspect(config, { depth: 9, showHidden: true }),
      `${config.databaseUrl} ${config.anthropicApiKey}`,
    ])
      for (const secret of secretsOf(config)) expect(text).not.toContain(secret);
    expect(config.anthropicApiKey?.reveal()).toBe("sk-ant-1");
  });
});

describe("the original service's names", () => {
  test("ROCKET_PORT and ROCKET_ADDRESS work, and PORT and HOST win over them", () => {
    const rocket = { ROCKET_PORT: "9001", ROCKET_ADDRESS: "127.0.0.2" };
    expect(readConfig(rocket)).toMatchObject({ port: 9001, host: "127.0.0.2" });
    expect(readConfig({ ...rocket, PORT: "9002", HOST: "::1" })).toMatchObject({ port: 9002, host: "::1" });
    expect(problemsOf({ ROCKET_PORT: "x" }).join()).toContain("ROCKET_PORT:");
  });
});

describe("who may use it", () => {
  const shared = { DATABASE_URL: POSTGRES };

  test("a shared database binds every address, and then an issuer is required", () => {
    expect(problemsOf(shared).join("\n")).toMatch(
      /KEYCLOAK_ISSUER: is required when listening on 0\.0\.0\.0/,
    );
    expect(readConfig({ ...shared, KEYCLOAK_ISSUER: `${ISSUER}/` })).toMatchObject({
      host: "0.0.0.0",
      auth: { mode: "oidc", issuer: ISSUER, jwksUri: undefined, audience: "prompt-backend" },
    });
  });

  test("on loopback, or with AUTH_MODE=local on purpose, the local issuer is enough", () => {
    expect(readConfig({ ...shared, HOST: "127.0.0.1" }).auth.mode).toBe("local");
    expect(readConfig({ ...shared, AUTH_MODE: "local" })).toMatchObject({
      host: "0.0.0.0",
      auth: { mode: "local" },
    });
  });

  test("AUTH_MODE=none works on loopback only", () => {
    expect(readConfig({ AUTH_MODE: "none" }).auth).toEqual({ mode: "none" });
    expect(problemsOf({ AUTH_MODE: "none", HOST: "0.0.0.0" }).join()).toContain("AUTH_MODE:");
  });

  test("AUTH_MODE=oidc needs an issuer, and AUTH_MODE=local ignores one", () => {
    expect(problemsOf({ AUTH_MODE: "oidc" }).join()).toContain("KEYCLOAK_ISSUER: is required");
    expect(readConfig({ AUTH_MODE: "local", KEYCLOAK_ISSUER: ISSUER }).auth.mode).toBe("local");
  });

  test("a process that does not listen needs no such answer", () => {
    expect(problemsOf(shared, { serves: false })).toEqual([]);
    expect(problemsOf({ ...shared, AUTH_MODE: "none" }, { serves: false })).toEqual([]);
  });

  test("loopback is 127.0.0.0/8, ::1 and localhost", () => {
    expect(["127.0.0.1", "127.9.9.9", "::1", "localhost"].every(isLoopback)).toBe(true);
    expect(["0.0.0.0", "::", "10.0.0.1"].some(isLoopback)).toBe(false);
  });
});

test("passwords in URLs are secrets as they stand there and decoded, also one that is not valid encoding", () => {
  const secrets = (password: string) =>
    secretsOf(readConfig({ DATABASE_URL: `postgres://u:${password}@h/d`, HOST: "127.0.0.1" }));
  expect(secrets("p%40ssword")).toEqual(["p%40ssword", "p@ssword"]);
  expect(secrets("100%")).toContain("100%");
});
