/**
 * Measures the time from the response to POST /sessions/with-prompt until the agent's process starts (outbox, queue, lease,
 * clone, checkout, sandbox), one prompt after the other, for each combination of database and queue; and the means of two
 * parts of it: until the prompt is claimed, and from then until the agent's programs are being started.
 *
 *   bun run bench [COUNT]      COUNT prompts each, default 100; TEST_BINARY=path measures the compiled binary
 */
import { chmod, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Combination, createDeployment, startBackend } from "../harness/backend.ts";
import { freePort } from "../harness/machine.ts";
import { removeFolder, startPostgres, startRedis } from "../harness/private-servers.ts";
import { makeRepository } from "../harness/repository.ts";
import { until } from "../harness/until.ts";

const count = Number(process.argv[2] ?? 100);
const folder = await mkdtemp(join(tmpdir(), "pb-bench-"));
await chmod(folder, 0o755);
const [postgres, redis] = await Promise.all([startPostgres({ folder }), startRedis({ folder })]);
process.env["TEST_DATABASE_URL"] = postgres.url;
process.env["TEST_REDIS_URL"] = redis.url;
try {
  console.log(`${count} prompts each, milliseconds from the response to the agent's start`);
  console.log("where      median    p95    max   queue prepare");
  for (const combination of ["redis", "postgres", "embedded"] as const) {
    const { waits, queue, prepare } = await measure(combination);
    waits.sort((a, b) => a - b);
    const at = (share: number) =>
      (waits[Math.min(waits.length - 1, Math.floor(waits.length * share))] ?? Number.NaN)
        .toFixed(1)
        .padStart(7);
    const means = [queue, prepare].map((one) => one.toFixed(1).padStart(7)).join(" ");
    console.log(`${combination.padEnd(9)} ${at(0.5)} ${at(0.95)} ${at(1)} ${means}`);
  }
} finally {
  await Promise.all([postgres.stop(), redis.stop()]);
  removeFolder(folder);
}

async function measure(
  combination: Combination,
): Promise<{ waits: number[]; queue: number; prepare: number }> {
  await using deployment = await createDeployment(combination);
  const metricsPort = await freePort();
  // The agent prints only its start time, in nanoseconds since 1970.
  const env = {
    AGENT: "command",
    AGENT_COMMAND: JSON.stringify(["sh", "-c", "date +%s%N; cat >/dev/null"]),
    LOG_LEVEL: "warn",
    METRICS_PORT: String(metricsPort),
  };
  await using backend = await startBackend(deployment, { env });
  const repository = await makeRepository();
  const waits: number[] = [];
  for (let n = 0; n < count + 3; n += 1) {
    const { sessionId, promptId } = await backend.submit(repository.path, `Prompt ${n}`);
    const repliedAt = performance.timeOrigin + performance.now();
    const startedAt = await until(
      async () =>
        Number(/\b(\d{19})\b/.exec(JSON.stringify(await backend.messages(promptId)))?.[1] ?? 0) / 1e6,
      { what: "the agent to start", timeoutMs: 30_000 },
    );
    // The first few warm up caches.
    if (n >= 3) waits.push(startedAt - repliedAt);
    await backend.waitForStatus(sessionId, "NeedsReviewIpReturned");
  }
  await repository.remove();
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const meanOf = (phase: string) => {
    const [sum, runs] = ["sum", "count"].map((part) =>
      Number(
        new RegExp(`run_phase_duration_seconds_${part}\\{[^}]*phase="${phase}"[^}]*\\} (\\S+)`).exec(
          metrics,
        )?.[1],
      ),
    );
    return ((sum ?? 0) / (runs ?? 0)) * 1000;
  };
  return { waits, queue: meanOf("queue"), prepare: meanOf("prepare") };
}
