import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findChromium, findCompose, findPostgres, installPackages } from "./harness/machine.ts";
import { PATIENCE_MS } from "./harness/patience.ts";
import { type PrivateServer, removeFolder, startPostgres, startRedis } from "./harness/private-servers.ts";

/**
 * `npm test [-- FILE or FLAG...]`: brings up a private PostgreSQL and Redis, runs `bun test` with them, and
 * removes them again. TEST_DATABASE_URL or TEST_REDIS_URL name servers to use instead; both must be throw-away.
 */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const ci = /^(1|true)$/i.test(process.env["CI"] ?? "");
const root = join(import.meta.dir, "..");
const say = (line: string) => void process.stderr.write(`[test] ${line}\n`);

/** Programs that the tests use, and the Debian packages that have them. */
const PROGRAMS = [
  { name: "postgresql", here: () => !!process.env["TEST_DATABASE_URL"] || findPostgres() !== undefined },
  { name: "redis-server", here: () => !!process.env["TEST_REDIS_URL"] || !!Bun.which("redis-server") },
  { name: "bubblewrap", here: () => !!Bun.which("bwrap") },
  { name: "chromium", here: () => findChromium() !== undefined },
  { name: "prometheus", here: () => !!Bun.which("promtool") && !!Bun.which("prometheus") },
  { name: "nix-bin", here: () => !!Bun.which("nix-instantiate") },
  { name: "docker-compose", here: () => findCompose() !== undefined },
  { name: "git", here: () => !!Bun.which("git") },
] as const;

const SERVERS = [
  { title: "PostgreSQL", url: "TEST_DATABASE_URL", why: "TEST_DATABASE_MISSING", start: startPostgres },
  { title: "Redis", url: "TEST_REDIS_URL", why: "TEST_REDIS_MISSING", start: startRedis },
] as const;

async function main(): Promise<number> {
  const missing = await installPrograms();
  const folder = mkdtempSync(join(tmpdir(), "prompt-backend-test-"));
  const started: PrivateServer[] = [];
  const env: Record<string, string | undefined> = { ...process.env };
  let child: Bun.Subprocess | undefined;
  let stopped: NodeJS.Signals | undefined;
  for (const signal of SIGNALS)
    process.on(signal, () => {
      // A second signal ends stubborn tests at once; the servers are still stopped below.
      child?.kill(stopped ? "SIGKILL" : "SIGTERM");
      stopped ??= signal;
    });

  try {
    for (const { title, url, why, start } of SERVERS) {
      if (stopped) break;
      if (env[url]) {
        say(`${title}: the one that ${url} names`);
        continue;
      }
      try {
        const server = await start({ folder });
        started.push(server);
        env[url] = server.url;
        say(`${server.title} at ${server.url}`);
      } catch (error) {
        env[why] = error instanceof Error ? error.message : String(error);
        missing.push(`${title}: ${env[why]}`);
      }
    }
    for (const one of missing) say(`MISSING ${one}`);
    if (missing.length > 0 && ci) say("CI is set: what is missing makes this run fail");

    if (!stopped) {
      const args = [
        "test",
        "--no-orphans",
        "--parallel",
        `--timeout=${PATIENCE_MS}`,
        ...process.argv.slice(2),
      ];
      say(`bun ${args.join(" ")}`);
      child = Bun.spawn([process.execPath, ...args], {
        cwd: root,
        env,
        stdio: ["ignore", "inherit", "inherit"],
      });
      if (stopped) child.kill();
      await child.exited;
    }
  } finally {
    for (const server of started.reverse()) await server.stop();
    removeFolder(folder);
  }
  if (stopped) say(`stopped by ${stopped}`);
  if (stopped) return stopped === "SIGINT" ? 130 : 143;
  const code = child?.exitCode ?? 1;
  return code === 0 && ci && missing.length > 0 ? 1 : code;
}

/** @returns a line for each program that is still missing. */
async function installPrograms(): Promise<string[]> {
  const lacking = PROGRAMS.filter((one) => !one.here()).map((one) => one.name);
  if (lacking.length === 0) return [];
  say(`installing ${lacking.join(", ")} (up to some minutes)`);
  const reason = await installPackages(lacking);
  return PROGRAMS.filter((one) => !one.here()).map((one) => `${one.name}: ${reason ?? "still not found"}`);
}

process.exit(await main());
