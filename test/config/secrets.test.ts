import { describe, expect, test } from "bun:test";
import { inspect } from "node:util";
import { readConfig, secretsOf } from "../../src/config/config.ts";
import { problemsOf } from "./problems.ts";

const ISSUER = "https://sso.example.com/realms/main";

describe("secrets", () => {
  const secrets = { ANTHROPIC_API_KEY: "sk-ant secret-one", GITHUB_TOKEN: "ghp secret-two" };

  test("are never printed, not even when they are invalid", () => {
    const all = problemsOf({
      ...secrets,
      HOST: "127.0.0.1",
      DATABASE_URL: "mysql://u:secret-three@h/d",
      REDIS_URL: "tcp://:secret-four@h",
    });
    expect(all).toHaveLength(4);
    expect(all.join("\n")).not.toMatch(/secret-/);
  });

  test("are listed for the logger, with passwords decoded", () => {
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
    // Their type hides them, however the configuration is printed.
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

test("passwords in URLs are secrets as written and decoded, also with an invalid encoding", () => {
  const secrets = (password: string) =>
    secretsOf(readConfig({ DATABASE_URL: `postgres://u:${password}@h/d`, HOST: "127.0.0.1" }));
  expect(secrets("p%40ssword")).toEqual(["p%40ssword", "p@ssword"]);
  expect(secrets("100%")).toContain("100%");
});
