/**
 * Requests per second and latency percentiles of the compiled executable on PostgreSQL, measured with wrk. The ratios to
 * /health can be compared between machines.
 *
 *   bun run bench:http [SECONDS]      per measurement, default 5; TEST_BINARY=path measures that executable
 */
import { chmod, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createDeployment, runProgram, startBackend } from "../harness/backend.ts";
import { installPackages } from "../harness/machine.ts";
import { removeFolder, startPostgres } from "../harness/private-servers.ts";

const seconds = Number(process.argv[2] ?? 5);
const CONNECTIONS = 32;
const SESSIONS = 50;
/** wrk's time units, in milliseconds. */
const UNITS: Record<string, number> = { us: 0.001, ms: 1, s: 1000 };

if (!Bun.which("wrk")) {
  const reason = await installPackages(["wrk"]);
  if (reason) throw new Error(`wrk is missing: ${reason}`);
}
const folder = await mkdtemp(join(tmpdir(), "pb-bench-"));
await chmod(folder, 0o755);
const postgres = await startPostgres({ folder });
process.env["TEST_DATABASE_URL"] = postgres.url;
process.env["TEST_BINARY"] ??= await build();
try {
  await measureAll();
} finally {
  await postgres.stop();
  removeFolder(folder);
}

async function build(): Promise<string> {
  const outfile = join(folder, "prompt-backend");
  const script = resolve(import.meta.dir, "../../.ci/build.ts");
  const child = Bun.spawn([process.execPath, script, "--outfile", outfile], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  if ((await child.exited) !== 0) throw new Error("the executable could not be built");
  return outfile;
}

async function measureAll(): Promise<void> {
  await using deployment = await createDeployment("postgres");
  // Rate limiting is on, with a limit that is never reached here.
  const limits = { RATE_LIMIT_PER_MINUTE: "60000000", RATE_LIMIT_ADDRESS_PER_MINUTE: "60000000" };
  const env = { ...deployment.env, ...limits, AUTH_MODE: "local", LOG_LEVEL: "warn" };
  await using backend = await startBackend(deployment, { args: ["server"], env });
  const { stdout } = await runProgram(["token", "--user", "bench"], { env, cwd: deployment.folder });
  const token = /[\w-]+\.[\w-]+\.[\w-]+/.exec(stdout)?.[0];
  if (!token) throw new Error(`no token: ${stdout}`);
  const authorization = `Bearer ${token}`;
  const session = JSON.stringify({ repo: "owner/name", target_branch: "main" });
  for (let n = 0; n < SESSIONS; n++)
    await backend.request("POST", "/sessions", JSON.parse(session), { authorization });
  const list = await backend.request("GET", "/sessions", undefined, { authorization });
  const id = list.body.sessions[0].id;
  const etag = list.headers.get("etag");

  console.log(`${CONNECTIONS} connections, ${seconds} s each`);
  console.log("request                requests/s  of /health  p50 ms  p99 ms");
  let health: number | undefined;
  const row = async (name: string, path: string, headers: Record<string, string>, body?: string) => {
    const { rate, p50, p99 } = await wrk(`${backend.url}${path}`, headers, body);
    health ??= rate;
    console.log(
      [
        name.padEnd(22),
        rate.toFixed(0).padStart(10),
        (rate / health).toFixed(3).padStart(11),
        p50.toFixed(2).padStart(7),
        p99.toFixed(2).padStart(7),
      ].join(" "),
    );
  };
  await row("/health", "/health", {});
  await row("rejected: no token", "/sessions", {});
  await row("authenticated read", `/sessions/${id}`, { authorization });
  await row(`list of ${SESSIONS}`, "/sessions", { authorization });
  if (etag) await row("304", "/sessions", { authorization, "if-none-match": etag });
  else console.log("304                    responses have no ETag");
  await row("create", "/sessions", { authorization, "content-type": "application/json" }, session);
}

/** @throws when a response is an error, unless no token was sent. */
async function wrk(url: string, headers: Record<string, string>, body?: string) {
  const script = join(folder, "request.lua");
  const lines = Object.entries(headers).map(
    ([name, value]) => `wrk.headers[${quoted(name)}] = ${quoted(value)}`,
  );
  if (body !== undefined) lines.push('wrk.method = "POST"', `wrk.body = ${quoted(body)}`);
  await writeFile(script, lines.join("\n"));
  const child = Bun.spawn(
    ["wrk", "--latency", "-t1", `-c${CONNECTIONS}`, `-d${seconds}s`, "-s", script, url],
    { stdout: "pipe", stderr: "inherit" },
  );
  const text = await new Response(child.stdout).text();
  const errors = /Non-2xx or 3xx responses: \d+|Socket errors: .*/.exec(text)?.[0];
  if (errors && headers["authorization"]) throw new Error(`${url}: ${errors}`);
  const rate = Number(/Requests\/sec: +([\d.]+)/.exec(text)?.[1]);
  return { rate, p50: latency(text, 50), p99: latency(text, 99) };
}

function latency(text: string, percent: number): number {
  const [, value, unit] = new RegExp(`${percent}% +([\\d.]+)(us|ms|s)`).exec(text) ?? [];
  return Number(value) * (UNITS[unit ?? ""] ?? Number.NaN);
}

/** JSON's escapes are valid in Lua strings, as far as our headers and bodies need them. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
