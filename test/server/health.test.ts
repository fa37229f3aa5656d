import { expect, test } from "bun:test";
import type { Database } from "../../src/db/client.ts";
import { ask, makeApp } from "../harness/app.ts";
import { realApp } from "../harness/real-app.ts";

test("health and liveness do no I/O", async () => {
  const app = makeApp();
  for (const path of ["/health", "/health/live"])
    expect(await ask(app, undefined, "GET", path)).toMatchObject({ status: 200, body: { status: "ok" } });
});

test("health details are served without a token", async () => {
  const send = (await realApp()).sendTo(() => ({}) as Pick<Database, "orm">);
  expect((await send("GET", "/health", { token: null })).body).toEqual({ status: "ok" });
  expect((await send("GET", "/health/detail", { token: null })).body).toMatchObject({
    agent: "demo",
    isolation: { isolated: true },
  });
});
