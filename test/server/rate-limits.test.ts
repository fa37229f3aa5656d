import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RateLimiterMemory } from "rate-limiter-flexible";
import { readConfig } from "../../src/config/config.ts";
import type { Database } from "../../src/db/client.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openRedis } from "../../src/queue/redis.ts";
import { clientAddress, rememberServer } from "../../src/server/client-address.ts";
import { createRateLimits } from "../../src/server/rate-limits.ts";
import { createCounter } from "../../src/server/request-counter.ts";
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
/** /sessions needs a database, which is not there: 500 is what lies behind the guard. */
const BEHIND = 500;
const get = (app: ReturnType<typeof makeApp>, user?: string, headers?: Record<string, string>) =>
  ask(app, user, "GET", "/sessions", undefined, headers);

function limitsHold(stores: () => Stores) {
  test("a user's requests are counted by all servers together, and then refused with when to come again", async () => {
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

  test("many at once are counted one by one", async () => {
    const apps = [serverOn(stores()), serverOn(stores())];
    const user = crypto.randomUUID();
    const all = await Promise.all(
      Array.from({ length: 40 }, (_, n) => get(apps[n % 2] as ReturnType<typeof makeApp>, user)),
    );
    expect(all.filter(({ status }) => status === BEHIND)).toHaveLength(5);
    expect(all.filter(({ status }) => status === 429)).toHaveLength(35);
  });

  test("bad tokens count for their address, and a good one from there is served all the same", async () => {
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
  test("a user over the limit is refused, another one is not; health is never counted", async () => {
    const app = serverOn({ database: EMBEDDED, redis: undefined });
    for (let n = 0; n < 5; n++) expect((await get(app, "alice")).status).toBe(BEHIND);
    expect((await get(app, "alice")).status).toBe(429);
    expect((await get(app, "bob")).status).toBe(BEHIND);
    for (let n = 0; n < 20; n++) expect((await ask(app, undefined, "GET", "/health")).status).toBe(200);
  });

  test("0 turns a limit off, and with AUTH_MODE=none there is none", async () => {
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
  limitsHold(() => ({ database, redis: undefined }));
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
  limitsHold(() => ({ database: EMBEDDED, redis }));
});

describe("a store that is away stops nobody", () => {
  test("each server counts by itself; it is said once a minute, and not asked at each request", async () => {
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

  const fallback = () => new RateLimiterMemory({ points: 1000, duration: 60 });
  test("a store that hangs is waited for once, and asked again later", async () => {
    let asked = 0;
    let now = 0;
    const hanging = {
      consume() {
        asked += 1;
        return new Promise<never>(() => undefined);
      },
    };
    const reports: unknown[] = [];
    const counter = createCounter({
      store: hanging,
      fallback: fallback(),
      points: 1000,
      onUnavailable: (error) => reports.push(error),
      now: () => now,
    });
    for (let n = 0; n < 50; n++) expect((await counter.count(`user ${n}`)).over).toBe(false);
    expect([asked, reports.length]).toEqual([1, 1]);
    now += 5_000;
    await counter.count("one more");
    expect([asked, reports.length]).toEqual([2, 1]);
  });

  test("most requests ask no store: a hundredth of the limit is taken at a time", async () => {
    const memory = fallback();
    let asked = 0;
    const store = {
      consume: (key: string, points: number) => {
        asked += 1;
        return memory.consume(key, points);
      },
    };
    const counter = createCounter({
      store,
      fallback: fallback(),
      points: 1000,
      onUnavailable: () => undefined,
    });
    const counts = await Promise.all(Array.from({ length: 1500 }, () => counter.count("alice")));
    expect(counts.filter(({ over }) => !over)).toHaveLength(1000);
    expect(asked).toBe(100);
    expect(counts.slice(0, 3).map(({ remaining }) => remaining)).toEqual([999, 998, 997]);
  });
});

describe("the address that counts", () => {
  const addressOf = (seen: string, forwarded: string | undefined, hops: number) => {
    const request = new Request("http://localhost/", {
      headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded },
    });
    rememberServer(request, { requestIP: () => ({ address: seen }) } as never);
    return clientAddress(request, hops);
  };
  test.each([
    ["10.0.0.1", undefined, 0, "10.0.0.1"],
    ["10.0.0.1", "6.6.6.6", 0, "10.0.0.1"],
    ["10.0.0.1", "6.6.6.6, 203.0.113.7", 1, "203.0.113.7"],
    ["10.0.0.1", "6.6.6.6, 203.0.113.7, 10.0.0.2", 2, "203.0.113.7"],
    ["10.0.0.1", "203.0.113.7", 2, "10.0.0.1"],
    ["10.0.0.1", "nonsense", 1, "10.0.0.1"],
    ["10.0.0.1", undefined, 1, "10.0.0.1"],
    ["::ffff:10.0.0.1", undefined, 0, "10.0.0.1"],
    ["::ffff:a00:1", undefined, 0, "10.0.0.1"],
    ["10.0.0.9", "::ffff:cb00:7107", 1, "203.0.113.7"],
    ["10.0.0.9", "0x7f.1", 1, "10.0.0.9"],
    ["2001:db8:1:2:3:4:5:6", undefined, 0, "2001:db8:1:2::/64"],
    ["2001:db8::9", undefined, 0, "2001:db8:0:0::/64"],
    ["::1", undefined, 0, "0:0:0:0::/64"],
    ["fe80::1%eth0", undefined, 0, "fe80:0:0:0::/64"],
  ])("of %s, forwarded for %p, behind %i is %s", (seen, forwarded, hops, expected) => {
    expect(addressOf(seen, forwarded, hops)).toBe(expected);
  });
});
