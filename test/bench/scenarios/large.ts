import { SQL } from "bun";
import { openLocalIssuer } from "../../../src/auth/local-issuer.ts";
import { createDeployment, startBackend } from "../../harness/backend.ts";
import { installPackages } from "../../harness/machine.ts";
import { BIGGEST_USER, fillLarge, LARGE } from "../large-data.ts";
import { type Figure, interleave, type Scenario } from "../scenario.ts";

const SMALL = 1_000;
/** BENCH_LARGE_SESSIONS: fewer, where neither the time nor the 12 GB are there. */
const large = () => Number(process.env["BENCH_LARGE_SESSIONS"] ?? LARGE.sessions);
const GOAL = { atLeast: 1 / 1.2 };

export const scenario: Scenario = {
  name: "large",
  about:
    "Requests per second of lists and reads by the user with a twentieth of all sessions, each beside the same on a database with 1,000 sessions. Each measure asks for the same rows again and again, so that both databases have them in memory: what is compared is what plans and indexes cost, not what a disk does.",
  async run(bench) {
    if (!Bun.which("wrk")) {
      const reason = await installPackages(["wrk"]);
      if (reason) throw new Error(`wrk is missing: ${reason}`);
    }
    await bench.postgres();
    await using stack = new AsyncDisposableStack();
    const fill = (sessions: number) => startFilled(stack, { sessions, binary: bench.binary, say: bench.say });
    const [few, many] = [await fill(SMALL), await fill(large())];
    const figures: Figure[] = [];
    for (const [measure, path] of Object.entries(many.paths)) {
      const { ours, reference } = await interleave(bench.rounds + 1, {
        ours: () => rateOf(many, path, bench.seconds),
        reference: () => rateOf(few, few.paths[measure] ?? "", bench.seconds),
      });
      bench.say(`  ${measure}: ${ours.at(-1)?.toFixed(0)} beside ${reference.at(-1)?.toFixed(0)} requests/s`);
      figures.push({
        measure: `${measure} at ${large().toLocaleString("en")} sessions`,
        unit: "requests/s",
        // The first is for caches and compilers.
        samples: ours.slice(1),
        reference: { name: `at ${SMALL.toLocaleString("en")}`, samples: reference.slice(1) },
        goal: GOAL,
      });
    }
    return figures;
  },
};

interface Filled {
  url: string;
  token: string;
  paths: Record<string, string>;
}

/** A service on a database of that size. */
async function startFilled(
  stack: AsyncDisposableStack,
  options: { sessions: number; binary: string; say: (text: string) => void },
): Promise<Filled> {
  const { sessions, binary, say } = options;
  const deployment = stack.use(await createDeployment("postgres"));
  const databaseUrl = deployment.env["DATABASE_URL"] ?? "";
  say(`  filling a database with ${sessions} sessions`);
  await fillLarge(databaseUrl, { ...LARGE, sessions, repository: "owner/name" });
  const limits = { RATE_LIMIT_PER_MINUTE: "60000000", RATE_LIMIT_ADDRESS_PER_MINUTE: "60000000" };
  const env = { ...limits, AUTH_MODE: "local", LOG_LEVEL: "warn" };
  const backend = stack.use(await startBackend(deployment, { args: ["server"], env, binary }));
  const issuer = openLocalIssuer({ dataDir: deployment.dataDir, audience: "prompt-backend" });
  await using sql = new SQL({ url: databaseUrl, max: 1 });
  // One of the last that even the smaller database has.
  const [row] = await sql`select s.id, p.id as prompt, m.id as message from session s
    join prompt p on p.session_id = s.id join message m on m.prompt_id = p.id
    where s.user_id = ${BIGGEST_USER} and s.deleted_at is null and s.title <> 'A long one'
    order by s.created_at desc offset 400 limit 1`;
  const token = await issuer.issue({ user: BIGGEST_USER, roles: [] });
  const first = await backend.request("GET", "/sessions?limit=25", undefined, {
    authorization: `Bearer ${token}`,
  });
  return {
    url: backend.url,
    token,
    paths: {
      "read of a session": `/sessions/${row.id}`,
      "list of 25 sessions": "/sessions?limit=25",
      "list of 10 sessions, a later page": `/sessions?limit=10&cursor=${first.body.next_cursor}`,
      "list of a session's prompts": `/sessions/${row.id}/prompts`,
      "list of a prompt's messages": `/prompts/${row.prompt}/messages`,
      "read of a message": `/messages/${row.message}`,
    },
  };
}

/** Requests over 8 connections, by a process of its own. */
async function rateOf({ url, token }: Filled, path: string, seconds: number): Promise<number> {
  const header = `authorization: Bearer ${token}`;
  const child = Bun.spawn(["wrk", "-t1", "-c8", `-d${seconds}s`, "-H", header, `${url}${path}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const text = await child.stdout.text();
  const failed = /Non-2xx or 3xx responses: \d+|Socket errors: .*/.exec(text)?.[0];
  if (failed) throw new Error(`${path}: ${failed}`);
  return Number(/Requests\/sec: +([\d.]+)/.exec(text)?.[1]);
}
