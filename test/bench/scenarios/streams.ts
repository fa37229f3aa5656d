import type { Subprocess } from "bun";
import { openLocalIssuer } from "../../../src/auth/local-issuer.ts";
import { createDeployment, startBackend } from "../../harness/backend.ts";
import { type Bench, median, type Scenario } from "../scenario.ts";
import { cpuOf, memoryOf } from "./processes.ts";

const STREAMS = 5_000;
/** Of one user in one process. */
const PER_USER = 50;
/** Until new streams have sent what they begin with, and the collector was at it, seconds. */
const SETTLE_S = 10;
/** Connections that are opened at a time. */
const AT_A_TIME = 100;
/** The loop that a stream is at least: a comment every 15 s. */
const BARE = `
const line = new TextEncoder().encode(": heartbeat\\n\\n");
const server = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch: () => new Response(new ReadableStream({
  start(to) { to.enqueue(line); this.timer = setInterval(() => to.enqueue(line), 15_000); },
  cancel() { clearInterval(this.timer); },
}), { headers: { "content-type": "text/event-stream" } }) });
console.log(server.port);`;

interface Taken {
  growth: number;
  total: number;
  cpu: number;
}

export const scenario: Scenario = {
  name: "streams",
  about: `what ${STREAMS} idle streams take, against a bare Bun.serve that sends as many a comment every 15 s`,
  async run(bench) {
    const [ours, bare]: [Taken[], Taken[]] = [[], []];
    for (let round = 0; round < bench.rounds; round += 1) {
      bench.say(`streams: round ${round + 1} of ${bench.rounds}`);
      ours.push(await ofService(bench));
      bare.push(await ofBare());
    }
    const of = (name: keyof Taken) => ({
      samples: ours.map((one) => one[name]),
      reference: { name: "bare SSE loop", samples: bare.map((one) => one[name]) },
    });
    return [
      // The goal is one of the process itself.
      {
        ...{ measure: "process with 5,000 idle streams", unit: "MB", goal: { atMost: 400 } },
        samples: of("total").samples,
        details: { "bare SSE loop, MB": median(of("total").reference.samples) },
      },
      { measure: "growth by 5,000 idle streams", unit: "MB", ...of("growth") },
      { measure: "CPU of 5,000 idle streams", unit: "% of a core", ...of("cpu") },
    ];
  },
};

async function ofService(bench: Bench): Promise<Taken> {
  process.env["TEST_DATABASE_URL"] ??= (await bench.postgres()).url;
  await using deployment = await createDeployment("postgres");
  const env = {
    AUTH_MODE: "local",
    LOG_LEVEL: "warn",
    RATE_LIMIT_PER_MINUTE: "100000",
    RATE_LIMIT_ADDRESS_PER_MINUTE: "100000",
  };
  await using backend = await startBackend(deployment, { args: ["server"], env, binary: bench.binary });
  const issuer = openLocalIssuer({ dataDir: deployment.dataDir, audience: "prompt-backend" });
  const requests: { url: string; headers: Record<string, string> }[] = [];
  for (let user = 0; user < STREAMS / PER_USER; user += 1) {
    const headers = { authorization: `Bearer ${await issuer.issue({ user: `user-${user}`, roles: [] })}` };
    const body = { repo: "owner/name", target_branch: "main", messages: [{ content: "wait" }] };
    const made = await backend.request("POST", "/sessions/with-prompt", body, headers);
    const url = `${backend.url}/sessions/${made.body.sessionId}/events`;
    for (let n = 0; n < PER_USER; n += 1) requests.push({ url, headers });
  }
  return await taken(backend.process.pid, requests);
}

async function ofBare(): Promise<Taken> {
  const server: Subprocess<"ignore", "pipe", "inherit"> = Bun.spawn([process.execPath, "-e", BARE], {
    stdout: "pipe",
    stdin: "ignore",
    stderr: "inherit",
  });
  try {
    const { value } = await server.stdout.getReader().read();
    const url = `http://127.0.0.1:${new TextDecoder().decode(value).trim()}/`;
    return await taken(
      server.pid,
      Array.from({ length: STREAMS }, () => ({ url, headers: {} })),
    );
  } finally {
    server.kill();
    await server.exited;
  }
}

async function taken(
  pid: number,
  requests: { url: string; headers: Record<string, string> }[],
): Promise<Taken> {
  await Bun.sleep(SETTLE_S * 1_000);
  const before = memoryOf(pid).rss;
  const sockets: { end(): unknown }[] = [];
  try {
    for (let at = 0; at < requests.length; at += AT_A_TIME)
      sockets.push(...(await Promise.all(requests.slice(at, at + AT_A_TIME).map(openStream))));
    await Bun.sleep(SETTLE_S * 1_000);
    const cpuBefore = cpuOf(pid);
    // Two heartbeats of each.
    await Bun.sleep(30_000);
    const cpu = ((cpuOf(pid) - cpuBefore) / 30) * 100;
    const { rss } = memoryOf(pid);
    return { growth: rss - before, total: rss, cpu };
  } finally {
    for (const socket of sockets) socket.end();
  }
}

/** A socket that has sent a request and got the beginning of an answer: a client that does nothing with what it reads. */
async function openStream({ url, headers }: { url: string; headers: Record<string, string> }) {
  const { hostname, port, pathname, host } = new URL(url);
  const answered = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(_socket, data) {
        if (data.subarray(0, 12).toString() === "HTTP/1.1 200") answered.resolve();
        else answered.reject(new Error(data.toString()));
      },
      close: () => answered.reject(new Error("closed")),
    },
  });
  const lines = Object.entries({ host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${pathname} HTTP/1.1\r\n${lines.join("")}\r\n`);
  await answered.promise;
  return socket;
}
