/**
 * The model proxies of some runs, in a process of their own, as the service has them. Each run has a budget in each scope, and its
 * calls are written down in the database that the environment names. BENCH_METER=none: they are only forwarded.
 */
import { openModelProxy } from "../../../src/agents/model-proxy.ts";
import { readConfig } from "../../../src/config/config.ts";
import { openDatabase } from "../../../src/db/client.ts";
import { migrate } from "../../../src/db/migrate.ts";
import { prompt, session } from "../../../src/db/tables.ts";
import { createLogger } from "../../../src/observability/logger.ts";
import { createMetrics } from "../../../src/observability/metrics.ts";
import { Secret } from "../../../src/shared/secret.ts";
import { openSpend } from "../../../src/spend/spend.ts";
import { freeMeter } from "../../harness/free-meter.ts";

const { BENCH_UPSTREAM = "", BENCH_RUNS = "", BENCH_METER } = process.env;
const api = "anthropic";
const config = readConfig({
  ...process.env,
  ...{ BUDGET_USD_PER_RUN: "100000", BUDGET_USD_PER_SESSION: "100000", BUDGET_USD_PER_USER_DAY: "100000" },
  ...{ BUDGET_USD_PER_USER_MONTH: "100000", BUDGET_USD_PER_DEPLOYMENT_DAY: "900000" },
  ...{ RUN_MAX_MODEL_CALLS: "1000000", HOST: "127.0.0.1" },
});
const logger = createLogger({ level: "warn" });

async function openMeters() {
  if (BENCH_METER === "none") return () => Promise.resolve(freeMeter);
  const database = await openDatabase({ config, logger });
  await migrate({ database, queue: true });
  const deployment = async () => ({ roundTrip: 0, deployment: undefined });
  const metrics = createMetrics({ version: "0", deployment });
  const spend = openSpend({ config, database, metrics, logger });
  const lease = { leaseEpoch: 1, leaseOwner: "bench", leaseExpiresAt: new Date("2100-01-01") };
  return async (run: number) => {
    const [sessionId, promptId, userId] = [Bun.randomUUIDv7(), Bun.randomUUIDv7(), `user-${run % 5}`];
    const repo = "owner/name";
    await database.orm.insert(session).values({
      id: sessionId,
      userId,
      repo,
      targetBranch: "main",
      title: "Work",
      branch: `prompt/${sessionId}`,
      promptSeq: 1,
    });
    await database.orm
      .insert(prompt)
      .values({ id: promptId, sessionId, userId, seq: 1, data: "Work.", status: "Running", ...lease });
    return spend.meter({ api, account: { promptId, epoch: 1, sessionId, userId, repo, agent: "claude" } });
  };
}

const meterOf = await openMeters();
const runs: { url: string; token: string }[] = [];
for (let run = 0; run < Number(BENCH_RUNS); run += 1) {
  const proxy = openModelProxy({ api, upstream: BENCH_UPSTREAM, apiKey: new Secret("key"), logger });
  runs.push({ url: proxy.url, token: proxy.grant({ id: `${run}`, meter: await meterOf(run) }).token });
}
process.stdout.write(`${JSON.stringify(runs)}\n`);
