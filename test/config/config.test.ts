import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { readConfig } from "../../src/config/config.ts";
import { type Env, problemsOf } from "./problems.ts";

describe("an empty environment", () => {
  test("configures the embedded service on loopback, with the documented defaults", () => {
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
        permissionTimeoutMs: 3_600_000,
        resultGraceMs: 30_000,
        minFreeBytes: 512 * 1024 ** 2,
        maxCheckoutBytes: 0,
      },
      corsOrigins: [],
      logLevel: "info",
      shutdownTimeoutMs: 30_000,
    });
  });

  test("equals one with empty or blank variables", () => {
    expect(readConfig({ PORT: "", HOST: " ", DATABASE_URL: "", KEYCLOAK_ISSUER: " " })).toEqual(
      readConfig({}),
    );
  });

  test("gives a frozen object", () => {
    expect(Object.isFrozen(readConfig({}))).toBe(true);
  });
});

describe("mistakes", () => {
  test("do not bring mistakes that only follow from a default in their place", () => {
    expect(problemsOf({ AGENT: "comand", AGENT_COMMAND: '["x"]' })).toHaveLength(1);
    expect(problemsOf({ AUTH_MODE: "locall", HOST: "0.0.0.0" })).toHaveLength(1);
  });

  test("are all reported together, each with its variable's name", () => {
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
    [
      "EGRESS_ALLOW that allows nothing",
      { EGRESS_ALLOW: "a.example" },
      "has no effect with EGRESS=deny; set EGRESS=list or unset this",
    ],
    ["EGRESS=list without a list", { EGRESS: "list" }, "EGRESS_ALLOW: is required with EGRESS=list"],
    ["EGRESS=list with an empty list", { EGRESS: "list", EGRESS_ALLOW: " , " }, "EGRESS_ALLOW: "],
    ["AGENT=command without AGENT_COMMAND", { AGENT: "command" }, "is required with AGENT=command"],
    ["a command that is not a JSON array", { AGENT: "command", AGENT_COMMAND: "my-agent" }, "JSON array"],
    ["an empty command", { AGENT: "command", AGENT_COMMAND: "[]" }, "JSON array"],
    ["a command with a number", { AGENT: "command", AGENT_COMMAND: '["x", 1]' }, "JSON array"],
    ["a Railway key alone", { RAILWAY_API_KEY: "k" }, "RAILWAY_DEPLOYMENT_ID: is required"],
    ["a Railway deployment alone", { RAILWAY_DEPLOYMENT_ID: "d" }, "RAILWAY_API_KEY: is required"],
    ["AGENT=claude without a key", { AGENT: "claude" }, "is required with AGENT=claude"],
  ] as [string, Env, string][])("%s is explained", (_title, env, text) => {
    expect(problemsOf(env).join("\n")).toContain(text);
  });
});

describe("the original service's names", () => {
  test("ROCKET_PORT and ROCKET_ADDRESS work, and PORT and HOST take precedence", () => {
    const rocket = { ROCKET_PORT: "9001", ROCKET_ADDRESS: "127.0.0.2" };
    expect(readConfig(rocket)).toMatchObject({ port: 9001, host: "127.0.0.2" });
    expect(readConfig({ ...rocket, PORT: "9002", HOST: "::1" })).toMatchObject({ port: 9002, host: "::1" });
    expect(problemsOf({ ROCKET_PORT: "x" }).join()).toContain("ROCKET_PORT:");
  });
});
