import { describe, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { RedisClient, SQL } from "bun";
import { migrate } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { TEST_TIMEOUT_MS } from "./timeouts.ts";

export type ServiceName = "postgres" | "redis";

/** Held while the template database is created. The number is arbitrary. */
const TEMPLATE_LOCK = 7_331_042;
const ROOT = resolve(import.meta.dir, "../..");

/** The PostgreSQL and Redis that `npm test` started, and the reason for each one that is missing. */
export function testServices(): {
  databaseUrl: string | undefined;
  redisUrl: string | undefined;
  missing: string[];
} {
  const databaseUrl = process.env["TEST_DATABASE_URL"] || undefined;
  const redisUrl = process.env["TEST_REDIS_URL"] || undefined;
  const missing: string[] = [];
  if (!databaseUrl) missing.push(whyMissing("postgres"));
  if (!redisUrl) missing.push(whyMissing("redis"));
  return { databaseUrl, redisUrl, missing };
}

/**
 * `describe` for tests that need PostgreSQL or Redis. Where one is missing, a single test takes the place of the group:
 * its title says what was not run and why. It is skipped, or fails when CI=true.
 */
export function describeWith(
  needs: ServiceName | readonly ServiceName[],
  name: string,
  body: () => void,
): void {
  setDefaultTimeout(TEST_TIMEOUT_MS);
  const { databaseUrl, redisUrl } = testServices();
  const here = { postgres: databaseUrl, redis: redisUrl };
  const lacking = [needs].flat().filter((one) => !here[one]);
  if (lacking.length === 0) return void describe(name, body);
  unavailable({ name, reason: lacking.map(whyMissing).join("; ") });
}

/** Registers the test that takes the place of tests that cannot run here. */
export function unavailable(options: { name: string; reason: string }): void {
  const title = `${options.name}: NOT RUN, ${options.reason}`;
  if (/^(1|true)$/i.test(process.env["CI"] ?? "")) {
    test(title, () => {
      throw new Error(title);
    });
    return;
  }
  process.stderr.write(`not run: ${title}\n`);
  test.skip(title, () => {});
}

function whyMissing(name: ServiceName): string {
  const reason = process.env[name === "postgres" ? "TEST_DATABASE_MISSING" : "TEST_REDIS_MISSING"];
  const title = name === "postgres" ? "PostgreSQL" : "Redis";
  return `${title} is missing (${reason || "`npm test` starts one; a bare `bun test` has none"})`;
}

/** Creates a migrated database, by copying a template, in about 50 ms. Drop it in afterAll. */
export async function createDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const { databaseUrl } = testServices();
  if (!databaseUrl)
    throw new Error(`${whyMissing("postgres")}; wrap the tests in describeWith("postgres", …)`);
  const template = await createTemplate({ adminUrl: databaseUrl });
  const name = `pb_test_${randomBytes(8).toString("hex")}`;
  await asAdmin(databaseUrl, (sql) => sql.unsafe(`create database ${name} template ${template}`));
  return {
    url: withDatabase(databaseUrl, name),
    drop: () =>
      asAdmin(databaseUrl, async (sql) => {
        await sql.unsafe(`drop database if exists ${name} with (force)`);
      }),
  };
}

/** Creates the migrated template unless it exists. Its name is derived from the migrations. */
async function createTemplate(options: { adminUrl: string }): Promise<string> {
  const name = `pb_template_${migrationsHash()}`;
  await asAdmin(options.adminUrl, async (sql) => {
    const exists = async () => (await sql`select 1 from pg_database where datname = ${name}`).length > 0;
    if (await exists()) return;
    await sql`select pg_advisory_lock(${TEMPLATE_LOCK})`;
    if (await exists()) return;
    await sql.unsafe(`drop database if exists ${name}_building with (force)`);
    await sql.unsafe(`create database ${name}_building`);
    const url = withDatabase(options.adminUrl, `${name}_building`);
    const database = await openPostgres({ url, poolMax: 2, logger: createLogger({ level: "silent" }) });
    try {
      await migrate({ database, queue: true });
    } finally {
      await database.close();
    }
    await sql.unsafe(`alter database ${name}_building rename to ${name}`);
  });
  return name;
}

/** Uses a connection of its own, whose end also releases its advisory lock. */
async function asAdmin<T>(url: string, work: (sql: SQL) => Promise<T>): Promise<T> {
  const sql = new SQL({ url, max: 1 });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

/** A hash of everything that determines the schema of a migrated database. */
export function migrationsHash(): string {
  const hash = createHash("sha256");
  const folder = join(ROOT, "drizzle");
  for (const file of readdirSync(folder).sort())
    if (file.endsWith(".sql")) hash.update(file).update(readFileSync(join(folder, file)));
  // BullMQ's schema is in the template too.
  hash.update(readFileSync(join(ROOT, "package.json")));
  return hash.digest("hex").slice(0, 16);
}

function withDatabase(url: string, name: string): string {
  const copy = new URL(url);
  copy.pathname = `/${name}`;
  return copy.href;
}

/** Reserves an empty Redis database. The server of TEST_REDIS_URL must hold nothing of value: its databases are flushed. */
export async function createRedis(): Promise<{ url: string; flush(): Promise<void>; drop(): Promise<void> }> {
  const { redisUrl } = testServices();
  if (!redisUrl) throw new Error(`${whyMissing("redis")}; wrap the tests in describeWith("redis", …)`);
  const registry = withDatabase(redisUrl, "0");
  const index = await withRedis(registry, async (redis) => {
    const [, count] = (await redis.send("CONFIG", ["GET", "databases"]).then(pairOf)) ?? [];
    for (let one = 1; one < Number(count ?? 16); one++)
      if ((await redis.send("SET", [`test:database:${one}`, "taken", "NX", "EX", "3600"])) === "OK")
        return one;
    throw new Error(`All ${count} databases of the test Redis are taken; call drop() when a test is done`);
  });
  const url = withDatabase(redisUrl, String(index));
  const flush = () => withRedis(url, async (redis) => void (await redis.send("FLUSHDB", [])));
  await flush();
  return {
    url,
    flush,
    async drop() {
      await flush();
      await withRedis(registry, async (redis) => void (await redis.send("DEL", [`test:database:${index}`])));
    },
  };
}

async function withRedis<T>(url: string, work: (redis: RedisClient) => Promise<T>): Promise<T> {
  const redis = new RedisClient(url);
  try {
    return await work(redis);
  } finally {
    redis.close();
  }
}

/** CONFIG GET returns a list or a map, depending on the version of the protocol. */
function pairOf(answer: unknown): string[] {
  return Array.isArray(answer)
    ? answer.map(String)
    : (Object.entries(answer as object)[0]?.map(String) ?? []);
}
