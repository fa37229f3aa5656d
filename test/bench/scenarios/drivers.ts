import { readdirSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { DriverSpec } from "../../../src/agents/driver-spec.ts";
import { type Backend, createDeployment, startBackend } from "../../harness/backend.ts";
import { makeRepository } from "../../harness/repository.ts";
import { until } from "../../harness/until.ts";
import { type Bench, type Figure, interleave, median, type Scenario } from "../scenario.ts";
import { pssOf } from "./processes.ts";

const PROTOCOLS = ["claude", "acp"] as const;
type Protocol = (typeof PROTOCOLS)[number];

/** Starts of a driver in each round. */
const STARTS = 20;
/** Runs at a time. */
const RUNS = 20;
const RUNS_WORK = { lines: 100, pauseS: 0.05 };
const LIMIT_MS = 120_000;

/** An agent of each protocol, in so little of a shell that what is measured is not the agent. */
const agentScript = ({ lines, pauseS }: { lines: number; pauseS: number }) => `
work() {
  for n in $(seq ${lines}); do
    "$1" "$n"
    ${pauseS > 0 ? `sleep ${pauseS}` : ":"}
  done
}
claude() { echo '{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"line '$1'"}]}}'; }
acp() {
  echo '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"one","update":{"sessionUpdate":"agent_message_chunk","messageId":"'$1'","content":{"type":"text","text":"line '$1'"}}}}'
}
reply() { echo '{"jsonrpc":"2.0","id":'$1',"result":'$2'}'; }
lines() { echo "line $1"; }
if [ "$0" = lines ]; then work lines; exit; fi
while IFS= read -r message; do
  id=\${message#*'"id":'}; id=\${id%%[,\\}]*}
  case $message in
    *'"method":"initialize"'*) reply "$id" '{"protocolVersion":1,"agentCapabilities":{}}' ;;
    *'"method":"session/new"'*) reply "$id" '{"sessionId":"one"}' ;;
    *'"method":"session/prompt"'*) work acp; reply "$id" '{"stopReason":"end_turn"}' ;;
    *'"type":"user"'*)
      work claude
      echo '{"type":"result","subtype":"success","is_error":false,"result":"done","num_turns":1}' ;;
  esac
done`;

/** The script takes its protocol as \$0. */
const commandOf = (name: string, work: { lines: number; pauseS: number }): [string, ...string[]] => [
  "bash",
  "-c",
  agentScript(work),
  name,
];

const ALONE: Record<Protocol, string> = {
  claude: '{"type":"user"}\n',
  acp: ["initialize", "session/new", "session/prompt"]
    .map((method, id) => `{"jsonrpc":"2.0","id":${id},"method":"${method}"}\n`)
    .join(""),
};

/** From the start of a program until all that its agent has to say is there, ms. */
async function lastLineAfter(argv: readonly string[], stdin: string, cwd: string): Promise<number> {
  const began = performance.now();
  const child = Bun.spawn([...argv], {
    cwd,
    env: { PATH: process.env["PATH"], HOME: cwd },
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.write(stdin);
  await child.stdin.end();
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of child.stdout) {
    text += decoder.decode(part, { stream: true });
    if (/"type":"result"|"stopReason"/.test(text)) break;
  }
  const ms = performance.now() - began;
  child.kill("SIGKILL");
  await child.exited;
  if (!text.includes("line 1")) throw new Error(`the agent said: ${text}`);
  return ms;
}

async function startOf(bench: Bench, protocol: Protocol): Promise<Figure> {
  const folder = join(bench.folder, `driver-${protocol}`);
  await mkdir(folder, { recursive: true });
  const argv = commandOf(protocol, { lines: 1, pauseS: 0 });
  const spec = (): DriverSpec => ({
    ...{ protocol, argv, prompt: "Work.", conversationId: crypto.randomUUID(), resume: false, mode: "auto" },
    ...(protocol === "acp" && { acp: { checkout: folder, sessionFile: join(folder, "session.json") } }),
  });
  const starts = async (take: () => Promise<number>) => {
    const all: number[] = [];
    for (let n = 0; n < STARTS; n += 1) all.push(await take());
    return median(all);
  };
  const samples = await interleave(bench.rounds, {
    driver: () => starts(() => lastLineAfter([bench.binary, "agent-driver"], JSON.stringify(spec()), folder)),
    alone: () => starts(() => lastLineAfter(argv, ALONE[protocol], folder)),
  });
  return {
    ...{ measure: `start of the driver and a turn, ${protocol}`, unit: "ms", samples: samples.driver },
    ...{ goal: { atMost: 50 }, details: { "the agent alone, ms": median(samples.alone) } },
  };
}

/** Proportional memory of each driver on this machine, MB. */
function driverMemory(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        // Its helpers outside of the sandbox have its command as arguments of theirs.
        const [, subcommand] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return subcommand === "agent-driver" ? [pssOf(Number(pid))] : [];
      } catch {
        // It has ended meanwhile.
        return [];
      }
    });
}

/** From the first request until the last sandbox is back, ms. */
async function runAtOnce(backend: Backend, path: string, agent: string): Promise<number> {
  const began = performance.now();
  const sessions = await Promise.all(
    Array.from({ length: RUNS }, () => backend.submit(path, "Work.", { agent })),
  );
  await Promise.all(
    sessions.map(({ sessionId }) => backend.waitForStatus(sessionId, "NeedsReviewIpReturned", LIMIT_MS)),
  );
  const ms = performance.now() - began;
  for (const { promptId } of sessions) {
    const text = JSON.stringify(await backend.messages(promptId));
    if (!text.includes(`line ${RUNS_WORK.lines}`))
      throw new Error(`${agent} has not worked: ${text.slice(-2_000)}`);
  }
  return ms;
}

async function atOnce(bench: Bench): Promise<Figure[]> {
  await Promise.all([bench.postgres(), bench.redis()]);
  await using deployment = await createDeployment("redis");
  const agents = [...PROTOCOLS, "lines" as const].map((protocol) => ({
    ...{ name: `bench-${protocol}`, protocol, command: commandOf(protocol, RUNS_WORK) },
  }));
  const env = {
    // No model is asked: Claude Code is not started without a key.
    ...{ ANTHROPIC_API_KEY: "not-used" },
    ...{ AGENT: "demo", AGENTS: JSON.stringify(agents), LOG_LEVEL: "warn" },
    ...{ WORKER_CONCURRENCY: `${RUNS}`, MAX_RUNNING_PROMPTS: `${RUNS}`, MAX_RUNNING_PER_USER: `${RUNS}` },
  };
  await using backend = await startBackend(deployment, { env });
  const repository = await makeRepository();
  const memory: Record<Protocol, number[]> = { claude: [], acp: [] };
  const withMemory = async (protocol: Protocol) => {
    const seen = until(
      () => {
        const drivers = driverMemory();
        return drivers.length >= RUNS && drivers;
      },
      { what: "all drivers at work", timeoutMs: LIMIT_MS, everyMs: 200 },
    );
    const done = runAtOnce(backend, repository.path, `bench-${protocol}`);
    const [ms, drivers] = await Promise.all([done, seen]);
    memory[protocol].push(median(drivers));
    return ms;
  };
  try {
    const samples = await interleave(bench.rounds, {
      claude: () => withMemory("claude"),
      acp: () => withMemory("acp"),
      lines: () => runAtOnce(backend, repository.path, "bench-lines"),
    });
    return PROTOCOLS.flatMap((protocol) => [
      {
        ...{ measure: `${RUNS} runs at once, ${protocol}`, unit: "ms" as const, samples: samples[protocol] },
        reference: { name: "the same without a driver", samples: samples.lines },
        goal: { atMost: 1.2 },
      },
      {
        measure: `memory of a driver at work, ${protocol}`,
        unit: "MB" as const,
        samples: memory[protocol],
        goal: { atMost: 30 },
      },
    ]);
  } finally {
    await repository.remove();
  }
}

export const scenario: Scenario = {
  name: "drivers",
  about: `The driver of an agent: its start, its memory, and ${RUNS} runs at once of ${RUNS_WORK.lines} lines in ${RUNS_WORK.lines * RUNS_WORK.pauseS} s, against agents without one`,
  async run(bench) {
    process.env["TEST_BINARY"] = bench.binary;
    const starts: Figure[] = [];
    for (const protocol of PROTOCOLS) starts.push(await startOf(bench, protocol));
    return [...starts, ...(await atOnce(bench))];
  },
};
