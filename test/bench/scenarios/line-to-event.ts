import { createDeployment, startBackend } from "../../harness/backend.ts";
import { makeRepository } from "../../harness/repository.ts";
import { quantile } from "../scenario.ts";
import { cpuOf } from "./processes.ts";

/** Prints numbered lines, each with the time at which it was written, evenly from the start that its prompt names. */
const PRINTER = String.raw`
use Time::HiRes qw(time sleep); $| = 1;
my $told = do { local $/; <STDIN> };
my ($start, $rate, $count) = $told =~ /start=([\d.]+) rate=([\d.]+) count=(\d+)/ or die "no plan: $told";
my $pad = "x" x 200;
for my $n (0 .. $count - 1) {
  my $wait = $start + $n / $rate - time; sleep $wait if $wait > 0;
  printf '{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"at=%.6f %s"}]}}' . "\n", time, $pad;
}`;
/** Until all agents of a measure have started, and how late the first line of one may be, seconds. */
const READY_S = { base: 4, perSession: 0.4, late: 1 };

export interface LineToEvent {
  p50: number;
  p95: number;
  /** What the service took of a core, µs a line. */
  cpuPerLine: number;
}

/** A service with agents that print, and its client: how long each line takes to its event. */
export async function openLineToEvent(binary: string, sessions: number) {
  const deployment = await createDeployment("redis");
  const env = {
    AGENT: "command",
    AGENT_COMMAND: JSON.stringify(["perl", "-e", PRINTER]),
    LOG_LEVEL: "warn",
    WORKER_CONCURRENCY: String(sessions),
    MAX_RUNNING_PROMPTS: "1000",
    MAX_RUNNING_PER_USER: "1000",
    RUN_MAX_EVENTS: "1000000",
  };
  const backend = await startBackend(deployment, { env, binary });
  const repository = await makeRepository();

  return {
    async measure({
      rate,
      sessions,
      seconds,
    }: {
      rate: number;
      sessions: number;
      seconds: number;
    }): Promise<LineToEvent> {
      const start = Date.now() / 1000 + READY_S.base + READY_S.perSession * sessions;
      const each = rate / sessions;
      const count = Math.ceil(each * seconds);
      const waits: number[] = [];
      let late = 0;
      const submit = async (n: number) => {
        const plan = `start=${start + n / rate} rate=${each} count=${count}`;
        const { sessionId } = await backend.submit(repository.path, plan);
        return sessionId;
      };
      const ids: string[] = [];
      for (let n = 0; n < sessions; n += 1) ids.push(await submit(n));
      const follow = async (id: string) => {
        const away = new AbortController();
        const reply = await fetch(`${backend.url}/sessions/${id}/events`, { signal: away.signal });
        const decoder = new TextDecoder();
        let rest = "";
        let seen = 0;
        for await (const chunk of reply.body ?? []) {
          const now = performance.timeOrigin + performance.now();
          const text = rest + decoder.decode(chunk, { stream: true });
          const end = text.lastIndexOf("\n\n");
          rest = text.slice(end + 1);
          for (const [, at] of text.slice(0, end + 1).matchAll(/"at=([\d.]+) /g)) {
            if (seen === 0 && Number(at) > start + sessions / rate + READY_S.late) late += 1;
            waits.push(now - Number(at) * 1000);
            seen += 1;
          }
          if (seen >= count) break;
        }
        away.abort();
      };
      const following = Promise.all(ids.map(follow));
      await Bun.sleep(start * 1000 - Date.now());
      const before = cpuOf(backend.process.pid);
      await following;
      if (late > 0) throw new Error(`${late} of ${sessions} agents had not started in time`);
      const cpu = cpuOf(backend.process.pid) - before;
      await Promise.all(
        ids.map((id) => backend.waitForStatus(id, ["NeedsReview", "NeedsReviewIpReturned"], 120_000)),
      );
      return {
        p50: quantile(waits, 0.5),
        p95: quantile(waits, 0.95),
        cpuPerLine: (cpu * 1e6) / waits.length,
      };
    },
    async close() {
      await backend[Symbol.asyncDispose]();
      await repository.remove();
      await deployment[Symbol.asyncDispose]();
    },
  };
}
