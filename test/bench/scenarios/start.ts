import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { SQL } from "bun";
import { freePort } from "../../harness/machine.ts";
import { type Bench, type Figure, interleave, median, type Scenario } from "../scenario.ts";

/** Between two questions whether it answers already. */
const PAUSE_MS = 1;
const GIVE_UP_MS = 60_000;
/** An idle process is looked at when it has done all that a start does. */
const SETTLE_MS = 5_000;

/** From the start of the program to its first 200, with data that an earlier start has made. */
export const scenario: Scenario = {
  name: "start",
  about:
    "start of the executable to its first 200, against a compiled Bun.serve that opens the same database",
  async run(bench) {
    const postgres = await bench.postgres();
    const name = "bench_start";
    const admin = new SQL({ url: postgres.url, max: 1 });
    await admin.unsafe(`drop database if exists ${name} with (force)`);
    await admin.unsafe(`create database ${name}`);
    await admin.end();
    const url = new URL(postgres.url);
    url.pathname = `/${name}`;
    return [
      ...(await measure(bench, "PostgreSQL", { DATABASE_URL: url.href }, { start: 120 })),
      ...(await measure(bench, "embedded", {}, { start: 450, memory: 300 })),
    ];
  },
};

async function measure(
  bench: Bench,
  where: string,
  database: Record<string, string>,
  goals: { start: number; memory?: number },
): Promise<Figure[]> {
  const dataDir = join(bench.folder, `start-${where}`);
  mkdirSync(dataDir, { recursive: true });
  const env = { PATH: process.env["PATH"] ?? "", DATA_DIR: dataDir, AUTH_MODE: "local", ...database };
  const bare = await compileBare(bench);
  bench.say(`start, ${where}: an earlier start makes the data`);
  await sample(bench.binary, { env, path: "/health", settles: true });
  const issuer = Bun.spawn([bench.binary, "token", "--user", "bench"], { env, stderr: "ignore" });
  const [token = ""] = /[\w-]+\.[\w-]+\.[\w-]+/.exec(await issuer.stdout.text()) ?? [];

  const cpu: number[] = [];
  const memory: number[] = [];
  const samples = await interleave(bench.rounds, {
    async health() {
      const { ms, cpuMs } = await sample(bench.binary, { env, path: "/health" });
      cpu.push(cpuMs);
      return ms;
    },
    async sessions() {
      const { ms, megabytes } = await sample(bench.binary, { env, path: "/sessions", token, settles: true });
      memory.push(megabytes);
      return ms;
    },
    bare: async () => (await sample(bare, { env, path: "/" })).ms,
  });
  const reference = {
    name: `a bare Bun.serve that opens the same database, ${where}`,
    samples: samples.bare,
  };
  return [
    {
      ...{ measure: `start to first 200, ${where}`, unit: "ms", samples: samples.health, reference },
      details: { "our CPU until then, ms": median(cpu), "goal, ms": goals.start },
    },
    {
      ...{ measure: `start to first list of sessions, ${where}`, unit: "ms", samples: samples.sessions },
      reference,
    },
    {
      ...{ measure: `idle memory, ${where}`, unit: "MB", samples: memory },
      ...(goals.memory !== undefined && { goal: { atMost: goals.memory } }),
    },
  ];
}

/** One start, which is stopped again. @param options.settles it is left alone for a while first. */
async function sample(
  program: string,
  options: { env: Record<string, string>; path: string; token?: string; settles?: boolean },
): Promise<{ ms: number; cpuMs: number; megabytes: number }> {
  const { env, path, token, settles = false } = options;
  const port = await freePort();
  const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  const begun = performance.now();
  const child = Bun.spawn([program], {
    env: { ...env, PORT: String(port), LOG_LEVEL: "error" },
    stdio: ["ignore", "ignore", "ignore"],
  });
  try {
    for (;;) {
      const reply = await fetch(`http://127.0.0.1:${port}${path}`, { headers }).catch(() => undefined);
      await reply?.arrayBuffer();
      if (reply?.status === 200) break;
      if (reply) throw new Error(`the first answer to ${path} was ${reply.status}`);
      if (child.exitCode !== null || performance.now() - begun > GIVE_UP_MS)
        throw new Error(`${program} did not answer ${path}`);
      await Bun.sleep(PAUSE_MS);
    }
    const ms = performance.now() - begun;
    const stat = await Bun.file(`/proc/${child.pid}/stat`).text();
    // utime and stime, in hundredths of a second.
    const [user, system] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13);
    if (settles) await Bun.sleep(SETTLE_MS);
    const status = await Bun.file(`/proc/${child.pid}/status`).text();
    return {
      ms,
      cpuMs: (Number(user) + Number(system)) * 10,
      megabytes: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024,
    };
  } finally {
    child.kill();
    await child.exited;
  }
}

/** What nobody can do without: a program of the same runtime that opens the database and answers. */
async function compileBare(bench: Bench): Promise<string> {
  const outfile = join(bench.folder, "start-bare");
  if (await Bun.file(outfile).exists()) return outfile;
  const source = join(import.meta.dir, "start-bare.ts");
  const flags = ["--compile", "--bytecode", "--format=esm", "--outfile", outfile];
  const child = Bun.spawn([process.execPath, "build", ...flags, source], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  if ((await child.exited) !== 0) throw new Error("the bare server could not be built");
  return outfile;
}
