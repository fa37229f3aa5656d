import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readConfig } from "../../src/config/config.ts";
import type { Database } from "../../src/db/client.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openRedis } from "../../src/queue/redis.ts";
import { createRateLimits } from "../../src/server/rate-limits.ts";
import { ask, makeApp } from "../harness/app.ts";
import { createDatabase, createRedis, describeWith } from "../harness/services.ts";
import { until } from "../harness/until.ts";

const logger = createLogger({ level: "silent" });
const EMBEDDED = { kind: "embedded" } as Database;
const env = { AUTH_MODE: "local", RATE_LIMIT_PER_MINUTE: "5", RATE_LIMIT_ADDRESS_PER_MINUTE: "3" };

type Stores = Pick<Parameters<typeof createRateLimits>[0], "database" | "redis">;
const serverOn = (stores: Stores, more: Record<string, string> = {}) =>
  makeApp({
    limits: createRateLimits({ config: readConfig({ ...env, ...more }), ...stores, logger }),
  });
/** The status behind the guard: /sessions needs a database, and there is none. */
const BEHIND = 500;
const get = (app: ReturnType<typeof makeApp>, user?: string, headers?: Record<string, string>) =>
  ask(app, user, "GET", "/sessions", undefined, headers);

function testSharedLimits(stores: () => Stores) {
  test("all servers count a user's requests together, and refuse them above the limit with a Retry-After", async () => {
    const [one, two] = [serverOn(stores()), serverOn(stores())];
    const user = crypto.randomUUID();
    const seen = [];
    for (const app of [one, two, one, two, one]) {
      const { status, headers } = await get(app, user);
      expect(status).toBe(BEHIND);
      expect(headers.get("ratelimit-limit")).toBe("5");
      expect(headers.get("ratelimit-policy")).toBe("5;w=60");
      expect(Number(headers.get("ratelimit-reset"))).toBeWithin(1, 61);
      seen.push(headers.get("ratelimit-remaining"));
    }
    expect(seen).toEqual(["4", "3", "2", "1", "0"]);
    for (const app of [one, two]) {
      const { status, body, headers } = await get(app, user);
      expect([status, body.err, body.code]).toEqual([429, "too_many_requests", "rate_limited"]);
      expect(Number(headers.get("retry-after"))).toBeWithin(1, 61);
      expect(headers.get("ratelimit-remaining")).toBe("0");
    }
    expect((await get(one, crypto.randomUUID())).status).toBe(BEHIND);
  });

  test("concurrent requests are counted exactly", async () => {
    const apps = [serverOn(stores()), serverOn(stores())];
    const user = crypto.randomUUID();
    const all = await Promise.all(
      Array.from({ length: 40 }, (_, n) => get(apps[n % 2] as ReturnType<typeof makeApp>, user)),
    );
    expect(all.filter(({ status }) => status === BEHIND)).toHaveLength(5);
    expect(all.filter(({ status }) => status === 429)).toHaveLength(35);
  });

  test("invalid tokens count for their address, which does not affect valid ones from there", async () => {
    const app = serverOn(stores(), { TRUSTED_PROXY_HOPS: "1" });
    const from = { "x-forwarded-for": `203.0.113.${Math.floor(Math.random() * 256)}` };
    expect((await get(app, "bad", from)).status).toBe(401);
    expect((await get(app, undefined, from)).status).toBe(401);
    expect((await get(app, "bad", from)).status).toBe(401);
    for (const token of ["bad", undefined]) {
      const { status, headers } = await get(app, token, from);
      expect(status).toBe(429);
      expect(headers.get("www-authenticate")).toBeNull();
    }
    expect((await get(app, "bad", { "x-forwarded-for": "198.51.100.1" })).status).toBe(401);
    expect((await get(app, crypto.randomUUID(), from)).status).toBe(BEHIND);
  });
}

describe("in memory, for one server", () => {
  test("the limit is per user; health checks are not counted", async () => {
    const app = serverOn({ database: EMBEDDED, redis: undefined });
    for (let n = 0; n < 5; n++) expect((await get(app, "alice")).status).toBe(BEHIND);
    expect((await get(app, "alice")).status).toBe(429);
    expect((await get(app, "bob")).status).toBe(BEHIND);
    for (let n = 0; n < 20; n++) expect((await ask(app, undefined, "GET", "/health")).status).toBe(200);
  });

  test("0 disables a limit, and AUTH_MODE=none disables all", async () => {
    const app = serverOn({ database: EMBEDDED, redis: undefined }, { RATE_LIMIT_PER_MINUTE: "0" });
    for (let n = 0; n < 20; n++) expect((await get(app, "alice")).status).toBe(BEHIND);
    expect((await get(app, "alice")).headers.get("ratelimit-limit")).toBeNull();
    const config = readConfig({ ...env, AUTH_MODE: "none" });
    expect(createRateLimits({ config, database: EMBEDDED, redis: undefined, logger })).toBeUndefined();
  });
});

describeWith("postgres", "in PostgreSQL", () => {
  let database: Database;
  let drop: () => Promise<void>;
  beforeAll(async () => {
    const created = await createDatabase();
    drop = created.drop;
    database = await openPostgres({ url: created.url, poolMax: 2, logger });
  });
  afterAll(async () => {
    await database.close();
    await drop();
  });
  testSharedLimits(() => ({ database, redis: undefined }));
});

describeWith("redis", "in Redis", () => {
  let server: Awaited<ReturnType<typeof createRedis>>;
  let redis: ReturnType<typeof openRedis>;
  beforeAll(async () => {
    server = await createRedis();
    redis = openRedis(server.url, logger);
    await until(() => redis.status === "ready", { what: "Redis" });
  });
  afterAll(async () => {
    redis.disconnect();
    await server.drop();
  });
  testSharedLimits(() => ({ database: EMBEDDED, redis }));
});

describe("an unavailable store refuses nobody", () => {
  test("each server counts for itself; the store is reported once a minute, and not asked on every request", async () => {
    const logged: string[] = [];
    const noRedis = openRedis("redis://127.0.0.1:1", logger);
    const limits = createRateLimits({
      config: readConfig(env),
      database: EMBEDDED,
      redis: noRedis,
      logger: createLogger({ level: "warn", write: (line) => void logged.push(line) }),
    });
    const app = makeApp({ limits });
    for (let n = 0; n < 5; n++) expect((await get(app, "alice")).status).toBe(BEHIND);
    expect((await get(app, "alice")).status).toBe(429);
    expect(logged).toHaveLength(1);
    expect(logged[0]).toContain("each server counts for itself");
    noRedis.disconnect();
  });
});
