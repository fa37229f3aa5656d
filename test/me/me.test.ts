import { expect, test } from "bun:test";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession } from "../harness/seed.ts";

const never = () => new Promise<never>(() => undefined);

describeEachDatabase("GET /me", (database) => {
  test("returns the user, the limits and how much of them is used", async () => {
    await seedSession(database(), 3);
    const app = makeApp({ database: database(), env: { MAX_UNFINISHED_PROMPTS: "7" } });
    expect((await ask(app, "alice", "GET", "/me")).body).toEqual({
      id: "alice",
      name: null,
      email: null,
      roles: [],
      expires_at: "2100-01-01T00:00:00.000Z",
      limits: {
        ...{ unfinished_prompts: 3, requests_per_minute: 6000, max_unfinished_prompts: 7 },
        ...{ budget_left_usd: null, budget_resets_at: null, prompt_budget_usd: null },
      },
      agent: { name: "claude", reason: null },
      embedded: false,
    });
    expect((await ask(app, "admin", "GET", "/me")).body).toMatchObject({
      roles: ["admin"],
      limits: { unfinished_prompts: 0 },
    });
    expect((await ask(app, undefined, "GET", "/me")).status).toBe(401);
    const anonymous = {
      id: "local",
      name: "Local user",
      roles: ["admin"],
      expiresAt: Number.POSITIVE_INFINITY,
    };
    const open = makeApp({ database: database(), verifier: { anonymous, verify: never, isTrusted: never } });
    expect((await ask(open, undefined, "GET", "/me")).body).toMatchObject({
      name: "Local user",
      expires_at: null,
    });
  });
});
