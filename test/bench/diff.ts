/**
 * How long a diff takes: of 200 files, of 10,000 files, and of one file of 100 MB; the first time, and once it is known. The
 * ratios are to `git diff` of the same commits.
 *
 *   bun run bench:diff [REQUESTS]      warm requests per row, default 200
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../../src/config/config.ts";
import { replyHeaders } from "../../src/server/headers.ts";
import { listen } from "../../src/server/listen.ts";
import { openMigrated } from "../harness/embedded.ts";
import { makeRepository } from "../harness/repository.ts";
import { reviewApp, seedWork } from "../review/fixture.ts";
import { openSandboxFixture } from "../sandboxes/fixture.ts";
import { commitStates, type State } from "../sandboxes/git/histories.ts";

const requests = Number(process.argv[2] ?? 200);
const MIB = 1024 * 1024;
const file = (text: string | Buffer) => ({ mode: "100644", content: Buffer.from(text) });
const lines = (count: number, mark: string) =>
  Array.from({ length: count }, (_, index) => `line ${index} ${index % 10 === 0 ? mark : ""}\n`).join("");
const states = (files: number, length: number): [State, State] => [
  new Map(Array.from({ length: files }, (_, index) => [`src/${index}.ts`, file(lines(length, "old"))])),
  new Map(Array.from({ length: files }, (_, index) => [`src/${index}.ts`, file(lines(length, "new"))])),
];
const large = () => Buffer.alloc(100 * MIB, "a line of a very large file\n");
const CASES: readonly [string, () => [State, State]][] = [
  ["200 files", () => states(200, 100)],
  ["10,000 files", () => states(10_000, 20)],
  ["100 MB", () => [new Map([["large", file("small\n")]]), new Map([["large", file(large())]])]],
];

const dataDir = await mkdtemp(join(tmpdir(), "pb-bench-"));
const database = await openMigrated(dataDir);
const sandboxes = await openSandboxFixture();
const { app, reviews } = reviewApp(database, sandboxes);
const { url, stop } = await listen({
  app,
  host: "127.0.0.1",
  port: 0,
  headersOf: replyHeaders(readConfig({})),
});
console.log(
  "diff            git diff ms   first ms  of git   warm p50 ms  warm p95 ms  of git  reply MB  memory MB",
);
try {
  for (const [name, make] of CASES) await measure(name, make());
} finally {
  await stop();
  await reviews.close();
  await database.close();
  await sandboxes.remove();
  await rm(dataDir, { recursive: true, force: true });
}

async function measure(name: string, [before, after]: [State, State]): Promise<void> {
  const repo = await makeRepository();
  try {
    await commitStates(repo, [
      { branch: "main", state: before },
      { branch: "prompt/one", state: after },
    ]);
    const [start = "", commit = ""] = (await repo.git("rev-list", "--reverse", "prompt/one"))
      .trim()
      .split("\n");
    const work = await seedWork(database, repo, { branch: "prompt/one", prompts: [{ start, commit }] });
    const path = `${url}/sessions/${work.sessionId}`;
    const headers = { authorization: "Bearer alice" };
    const git = await timed(() => repo.git("diff", start, commit));
    // What is measured is the diff, not the first fetch.
    await (await fetch(`${path}/commits`, { headers })).text();
    Bun.gc(true);
    const memory = process.memoryUsage().rss;
    let bytes = 0;
    const ask = async () => {
      const reply = await fetch(`${path}/diff`, { headers });
      bytes = (await reply.arrayBuffer()).byteLength;
      if (reply.status !== 200) throw new Error(`${name}: ${reply.status}`);
    };
    const first = await timed(ask);
    const warm: number[] = [];
    for (let count = 0; count < requests; count += 1) warm.push(await timed(ask));
    warm.sort((a, b) => a - b);
    Bun.gc(true);
    const grown = (process.memoryUsage().rss - memory) / MIB;
    const at = (share: number) =>
      warm[Math.min(warm.length - 1, Math.floor(warm.length * share))] ?? Number.NaN;
    console.log(
      [
        name.padEnd(15),
        git.toFixed(0).padStart(11),
        first.toFixed(0).padStart(10),
        (first / git).toFixed(2).padStart(7),
        at(0.5).toFixed(1).padStart(13),
        at(0.95).toFixed(1).padStart(12),
        (at(0.95) / git).toFixed(2).padStart(7),
        (bytes / MIB).toFixed(1).padStart(9),
        grown.toFixed(0).padStart(10),
      ].join(" "),
    );
  } finally {
    await repo.remove();
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}
