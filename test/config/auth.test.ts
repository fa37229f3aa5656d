import { describe, expect, test } from "bun:test";
import { isLoopback, readConfig } from "../../src/config/config.ts";
import { problemsOf } from "./problems.ts";

const POSTGRES = "postgres://pb:hunter2hunter2@db.example.com:5432/pb";
const ISSUER = "https://sso.example.com/realms/main";

describe("authentication", () => {
  const shared = { DATABASE_URL: POSTGRES };

  test("with PostgreSQL the server listens on every address, and an issuer is required", () => {
    expect(problemsOf(shared).join("\n")).toMatch(
      /KEYCLOAK_ISSUER: is required when listening on 0\.0\.0\.0/,
    );
    expect(readConfig({ ...shared, KEYCLOAK_ISSUER: `${ISSUER}/` })).toMatchObject({
      host: "0.0.0.0",
      auth: { mode: "oidc", issuer: ISSUER, jwksUri: undefined, audience: "prompt-backend" },
    });
  });

  test("on loopback, or with AUTH_MODE=local, the local issuer is enough", () => {
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

  test("a process that does not listen needs neither", () => {
    expect(problemsOf(shared, { serves: false })).toEqual([]);
    expect(problemsOf({ ...shared, AUTH_MODE: "none" }, { serves: false })).toEqual([]);
  });

  test("loopback is 127.0.0.0/8, ::1 and localhost", () => {
    expect(["127.0.0.1", "127.9.9.9", "::1", "localhost"].every(isLoopback)).toBe(true);
    expect(["0.0.0.0", "::", "10.0.0.1"].some(isLoopback)).toBe(false);
  });
});
