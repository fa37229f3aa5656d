import { parseArgs } from "node:util";
import { SQL } from "bun";
import { type Mode, openTraces, textOf } from "../chaos/agent.ts";
import { type Cluster, openCluster } from "../chaos/cluster.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { until } from "../harness/until.ts";

/**
 * `bun run bench:recovery [--cancels N] [--takeovers N] [--seconds S]`: on a cluster of two servers and three workers with
 * PostgreSQL and Redis, measures in milliseconds the time from a cancel request until the process tree is gone, and from
 * a runner's death until the next stored line; then restarts all five processes in turn under 20 prompts per second.
 */
const say = (line: string) => void process.stdout.write(`${line}\n`);
const LONG_MS = 300_000;

interface Bench {
  cluster: Cluster;
  repository: TestRepository;
  sql: SQL;
  request(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: Record<string, string> }>;
  submit(text: string): Promise<{ sessionId: string; promptId: string }>;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: process.argv.slice(2),
    options: {
      cancels: { type: "string", default: "200" },
      takeovers: { type: "string", default: "20" },
      seconds: { type: "string", default: "20" },
    },
  });
  const traces = openTraces();
  const cluster = await openCluster({ combination: "redis", tracePort: traces.port });
  const repository = await makeRepository();
  try {
    for (const node of cluster.nodes) await node.start();
    const token = await cluster.token("bench");
    const servers = cluster.nodes.filter(({ serves }) => serves);
    let turn = 0;
    const request: Bench["request"] = async (method, path, body) => {
      const { url } = servers[turn++ % servers.length] ?? {};
      const reply = await fetch(`${url}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return { status: reply.status, body: (await reply.json()) as Record<string, string> };
    };
    const bench: Bench = {
      cluster,
      repository,
      sql: new SQL({ url: cluster.databaseUrl ?? "", max: 4 }),
      request,
      async submit(text) {
        const wanted = { repo: repository.path, target_branch: "main", messages: [{ content: text }] };
        const { status, body } = await request("POST", "/sessions/with-prompt", wanted);
        if (status !== 200) throw new Error(`create: ${status} ${JSON.stringify(body)}`);
        return body as { sessionId: string; promptId: string };
      },
    };
    await cancels(bench, Number(values.cancels));
    await takeovers(bench, Number(values.takeovers));
    await rollingRestart(bench, Number(values.seconds));
    await bench.sql.close();
  } finally {
    await cluster.close();
    await repository.remove();
    await traces.stop();
  }
}

function report(name: string, list: readonly number[]): void {
  const sorted = list.toSorted((a, b) => a - b);
  const at = (part: number) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0);
  say(
    `${name.padEnd(52)} n ${String(list.length).padStart(4)}  p50 ${at(0.5)}  p95 ${at(0.95)}  p99 ${at(0.99)}  max ${at(1)}`,
  );
}

/** From the cancel request until no process of the sandbox is left. */
async function cancels({ request, submit, sql }: Bench, count: number): Promise<void> {
  const modes: Mode[] = ["normal", "deaf", "daemon"];
  const took = new Map<Mode, number[]>(modes.map((mode) => [mode, []]));
  for (let n = 0; n < count; n += 1) {
    const mode = modes[n % modes.length] as Mode;
    const { sessionId, promptId } = await submit(
      textOf({ id: `cancel-${n}`, lines: 6_000, delay: "0.05", mode }),
    );
    const config = await until(
      async () => {
        const [row] = await sql`select sbx_config from session s where id = ${sessionId}
          and exists (select 1 from message where prompt_id = ${promptId})`;
        return row?.sbx_config as { id: string } | undefined;
      },
      { what: "the agent to begin", timeoutMs: LONG_MS },
    );
    const started = performance.now();
    const { status } = await request("POST", `/sessions/${sessionId}/cancel`);
    if (status !== 200) throw new Error(`cancel: ${status}`);
    await until(async () => (await Bun.$`pgrep -f ${config.id}`.nothrow().quiet().text()).trim() === "", {
      what: "the process tree to be gone",
      timeoutMs: 60_000,
      everyMs: 5,
    });
    took.get(mode)?.push(performance.now() - started);
  }
  for (const [mode, list] of took) report(`cancel to process tree gone (${mode})`, list);
  report("cancel to process tree gone (all)", [...took.values()].flat());
}

/** From kill -9 of the runner until the next claim, and until the next stored line. */
async function takeovers({ cluster, submit, request, sql }: Bench, count: number): Promise<void> {
  const claimed: number[] = [];
  const stored: number[] = [];
  for (let n = 0; n < count; n += 1) {
    const { sessionId, promptId } = await submit(
      textOf({ id: `take-${n}`, lines: 6_000, delay: "0.05", mode: "normal" }),
    );
    const read = async () => {
      const [row] =
        await sql`select lease_epoch, (select count(*) from message where prompt_id = p.id) as lines
        from prompt p where id = ${promptId}`;
      return { epoch: Number(row?.lease_epoch), lines: Number(row?.lines) };
    };
    const before = await until(
      async () => {
        const now = await read();
        return now.lines > 5 && now;
      },
      { what: "the agent to begin", timeoutMs: LONG_MS },
    );
    const owner = await ownerOf(cluster, promptId);
    const started = performance.now();
    await owner.end("SIGKILL");
    await until(async () => (await read()).epoch > before.epoch, { what: "the takeover", timeoutMs: 60_000 });
    claimed.push(performance.now() - started);
    const { lines } = await read();
    await until(async () => (await read()).lines > lines, { what: "the next line", timeoutMs: 60_000 });
    stored.push(performance.now() - started);
    await owner.start();
    await request("POST", `/sessions/${sessionId}/cancel`);
  }
  report("kill -9 of the runner to the next claim", claimed);
  report("kill -9 of the runner to the next stored line", stored);
}

/** The worker that runs this prompt, by its log. */
async function ownerOf(cluster: Cluster, promptId: string) {
  return until(
    () =>
      cluster.nodes.find((node) =>
        node.process?.lines.some((line) => line.includes("run started") && line.includes(promptId)),
      ),
    { what: `a worker to log that it runs ${promptId}` },
  );
}

/** Restarts each of the five processes while prompts keep coming. */
async function rollingRestart({ cluster, repository, sql }: Bench, seconds: number): Promise<void> {
  const token = await cluster.token("roller");
  const servers = cluster.nodes.filter(({ serves }) => serves);
  const ids: string[] = [];
  const problems: string[] = [];
  let refused = 0;
  const sending: Promise<void>[] = [];
  const send = async (n: number) => {
    const text = textOf({ id: `roll-${n}`, lines: 3, delay: "0.01", mode: "normal" });
    const body = JSON.stringify({
      repo: repository.path,
      target_branch: "main",
      messages: [{ content: text }],
    });
    for (let tries = n; ; tries += 1) {
      try {
        const reply = await fetch(`${servers[tries % 2]?.url}/sessions/with-prompt`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${token}`,
            "content-type": "application/json",
            "idempotency-key": `roll-${n}`,
          },
          body,
        });
        if (reply.status === 200) ids.push(((await reply.json()) as { promptId: string }).promptId);
        else problems.push(`${reply.status} ${await reply.text()}`);
        return;
      } catch {
        refused += 1;
        await Bun.sleep(50);
      }
    }
  };
  let stop = false;
  const load = (async () => {
    for (let n = 0; !stop || n < seconds * 20; n += 1) {
      sending.push(send(n));
      await Bun.sleep(50);
    }
  })();
  for (const node of cluster.nodes) {
    await Bun.sleep(1_000);
    await node.end("SIGTERM");
    await node.start();
  }
  stop = true;
  await load;
  await Promise.all(sending);
  const started = performance.now();
  const done = await until(
    async () => {
      const rows =
        await sql`select status, count(*)::int as count from prompt where user_id = 'roller' group by status`;
      const open = rows.filter(({ status }: { status: string }) => ["Queued", "Running"].includes(status));
      return open.length === 0 && rows;
    },
    { what: "all prompts to end", timeoutMs: LONG_MS * 3, everyMs: 500 },
  );
  say(
    `rolling restart of five processes: ${ids.length} prompts accepted at 20 per second, ${refused} refused connections, ${problems.length} HTTP errors; drained in ${Math.round((performance.now() - started) / 1000)} s`,
  );
  for (const row of done) say(`  ${row.status} ${row.count}`);
  for (const one of problems.slice(0, 5)) say(`  ${one}`);
}

await main();
