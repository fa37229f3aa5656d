import { expect, test } from "bun:test";
import type { Database } from "../../src/db/client.ts";
import { realApp } from "../harness/real-app.ts";

const send = (await realApp()).sendTo(() => ({}) as Pick<Database, "orm">);

test("allowed origins are echoed with credentials, also on errors; other origins get no CORS headers", async () => {
  for (const origin of ["https://ui.example.com", "http://localhost:3000", "http://127.0.0.1:5173"]) {
    const preflight = await send("OPTIONS", "/sessions", {
      token: null,
      headers: {
        origin,
        "access-control-request-method": "PUT",
        "access-control-request-headers": "authorization,content-type",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe(origin);
    expect(preflight.headers.get("access-control-allow-credentials")).toBe("true");
    expect(preflight.headers.get("access-control-allow-headers")).toContain("authorization, content-type");
    for (const name of ["idempotency-key", "if-match", "if-none-match", "last-event-id"])
      expect(preflight.headers.get("access-control-allow-headers")).toContain(name);
    expect(preflight.headers.get("access-control-allow-methods")).toContain("GET, POST, PUT, DELETE");
    expect(Number(preflight.headers.get("access-control-max-age"))).toBeGreaterThan(0);
    const refused = await send("GET", "/sessions", { token: null, headers: { origin } });
    expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([401, origin]);
    expect(refused.headers.get("access-control-expose-headers")).toContain("etag");
  }
  const foreign = await send("GET", "/health", { headers: { origin: "https://evil.example.com" } });
  expect(foreign.headers.get("access-control-allow-origin")).toBeNull();
});
