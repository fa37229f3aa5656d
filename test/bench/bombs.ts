import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Backend, createDeployment, runProgram, startBackend } from "../harness/backend.ts";
import { compiledBinary } from "../harness/binary.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { until } from "../harness/until.ts";
import { BOMBS, type Bomb, gitBomb } from "./bomb-scripts.ts";

/**
 * `bun run bench:bombs [NAME...]`: sets off each bomb as the prompt of one user, beside a 10 s prompt of another, on the
 * compiled binary with the embedded database; then kills the service and starts it again. Measured: how long the other
 * prompt took, GET /health meanwhile, and how much the service's memory grew.
 */
const INNOCENT = "for n in 1 2 3 4 5 6 7 8 9 10; do echo second $n; sleep 1; done; echo done > innocent.txt";
const HEALTH_EVERY_MS = 50;
/** The longest that a bomb may take to be ended by a limit. */
const END_MS = 240_000;

const say = (line: string) => void process.stdout.write(`${line}\n`);
process.env["TEST_BINARY"] = await compiledBinary();
const wanted = process.argv.slice(2);
say(
  "bomb                      innocent s   /health p50/p99/max ms   memory +MB   restart ms   how the bomb ended",
);
for (const bomb of BOMBS.filter(({ name }) => wanted.length === 0 || wanted.includes(name)))
  await setOff(bomb);

async function setOff(bomb: Bomb): Promise<void> {
  await using deployment = await createDeployment("embedded");
  const repositories = join(deployment.folder, "repositories");
  await mkdir(repositories, { recursive: true });
  const env = {
    AUTH_MODE: "local",
    LOG_LEVEL: "warn",
    AGENT: "command",
    // The prompt is the script.
    AGENT_COMMAND: JSON.stringify(["sh"]),
    LOCAL_REPOSITORIES: "/tmp",
    RUN_TIMEOUT_MINUTES: "2",
    RUN_MEMORY_MB: "1024",
    RUN_DISK_MB: "1024",
    ...bomb.env,
  };
  const backend = await startBackend(deployment, { env });
  const [mallory, alice] = await Promise.all(["mallory", "alice"].map((user) => tokenOf(deployment, user)));
  const [target, own] = await Promise.all([
    bomb.name === "git bomb" ? gitBomb() : makeRepository(),
    makeRepository(),
  ]);
  // Warmed up, so that what memory grows by is the bomb's.
  await finished(backend, alice, await submit(backend, alice, own, "echo warm > warm.txt"), 30_000);
  const before = await memoryOf(backend);
  const health = watchHealth(backend);
  const hit = await submit(backend, mallory, target, bomb.script);
  const began = performance.now();
  const innocent = await submit(backend, alice, own, INNOCENT);
  const status = await finished(backend, alice, innocent, 120_000);
  const seconds = (performance.now() - began) / 1000;
  const end = await finished(backend, mallory, hit, END_MS).catch(() => ({
    status: "STILL RUNNING",
    error: "",
  }));
  const { latencies, peak } = await health.stop();
  backend.process.kill("SIGKILL");
  await backend.process.exit;
  const restart = performance.now();
  await using again = await startBackend(deployment, { env });
  const alive = (await fetch(`${again.url}/health`)).ok;
  const restartMs = performance.now() - restart;
  await Promise.all([target.remove(), own.remove()]);

  const at = (share: number) =>
    (latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0).toFixed(1);
  say(
    [
      bomb.name.padEnd(26),
      `${seconds.toFixed(1)}${status.status === "Completed" ? "" : ` ${status.status}`}`.padEnd(12),
      `${at(0.5)}/${at(0.99)}/${at(1)}`.padEnd(24),
      ((peak - before) / 1024 ** 2).toFixed(0).padEnd(12),
      `${alive ? restartMs.toFixed(0) : "DEAD"}`.padEnd(12),
      `${end.status}: ${end.error ?? ""}`.slice(0, 160),
    ].join(" "),
  );
}

type Deployment = Awaited<ReturnType<typeof createDeployment>>;

async function tokenOf(deployment: Deployment, user: string): Promise<string> {
  const { stdout } = await runProgram(["token", "--user", user], {
    env: { ...deployment.env, AUTH_MODE: "local" },
    cwd: deployment.folder,
  });
  return stdout.trim();
}

function bearer(token: string | undefined) {
  return { authorization: `Bearer ${token}` };
}

async function submit(backend: Backend, token: string | undefined, repository: TestRepository, text: string) {
  const body = { repo: repository.path, target_branch: "main", messages: [{ content: text }] };
  const reply = await backend.request("POST", "/sessions/with-prompt", body, bearer(token));
  if (reply.status !== 200) throw new Error(`not accepted: ${reply.status} ${JSON.stringify(reply.body)}`);
  return reply.body.promptId as string;
}

function finished(backend: Backend, token: string | undefined, promptId: string, timeoutMs: number) {
  return until(
    async () => {
      const { prompt } = (await backend.request("GET", `/prompts/${promptId}`, undefined, bearer(token)))
        .body;
      return (
        ["Completed", "Failed", "Cancelled"].includes(prompt.status) &&
        (prompt as { status: string; error?: string })
      );
    },
    { what: `prompt ${promptId} to end`, timeoutMs },
  );
}

/** Resident memory of the service, bytes. */
async function memoryOf(backend: Backend): Promise<number> {
  const status = await readFile(`/proc/${backend.process.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
}

/** Asks GET /health again and again until it is stopped. */
function watchHealth(backend: Backend) {
  const latencies: number[] = [];
  let peak = 0;
  let stopped = false;
  const loop = (async () => {
    while (!stopped) {
      const began = performance.now();
      const ok = await fetch(`${backend.url}/health`)
        .then((reply) => reply.ok)
        .catch(() => false);
      latencies.push(ok ? performance.now() - began : 60_000);
      peak = Math.max(peak, await memoryOf(backend).catch(() => 0));
      await Bun.sleep(HEALTH_EVERY_MS);
    }
  })();
  return {
    async stop() {
      stopped = true;
      await loop;
      return { latencies: latencies.sort((a, b) => a - b), peak };
    },
  };
}
