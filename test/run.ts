import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { compiledBinary } from "./harness/binary.ts";
import { fastFolder } from "./harness/database-folder.ts";
import {
  findChromium,
  findCompose,
  findFirefox,
  findGo,
  findPostgres,
  installPackages,
} from "./harness/machine.ts";
import { type PrivateServer, removeFolder, startPostgres, startRedis } from "./harness/private-servers.ts";
import { quickTests } from "./harness/quick.ts";
import { TEST_TIMEOUT_MS } from "./harness/timeouts.ts";

/**
 * `npm test [-- FILE or FLAG...]`: starts a private PostgreSQL and Redis, runs `bun test` with them, and removes them
 * again. TEST_DATABASE_URL or TEST_REDIS_URL name servers to use instead; their data is lost. All tests together start the
 * service hundreds of times, as its executable: that starts in two thirds of the time. Some tests start the sources.
 * `npm run test:quick`: only the tests that need neither services nor programs, in less than a minute.
 */
const quick = process.argv.includes("--quick");
const given = process.argv.slice(2).filter((arg) => arg !== "--quick");
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const ci = /^(1|true)$/i.test(process.env["CI"] ?? "");
const root = join(import.meta.dir, "..");
const say = (line: string) => void process.stderr.write(`[test] ${line}\n`);

/** Programs that the tests use, by their Debian packages. */
const PROGRAMS = [
  { name: "postgresql", here: () => !!process.env["TEST_DATABASE_URL"] || findPostgres() !== undefined },
  { name: "redis-server", here: () => !!process.env["TEST_REDIS_URL"] || !!Bun.which("redis-server") },
  { name: "bubblewrap", here: () => !!Bun.which("bwrap") },
  { name: "socat", here: () => !!Bun.which("socat") },
  { name: "chromium", here: () => findChromium() !== undefined },
  { name: "firefox-esr", here: () => findFirefox() !== undefined },
  { name: "golang-go", here: () => findGo() !== undefined },
  { name: "prometheus", here: () => !!Bun.which("promtool") && !!Bun.which("prometheus") },
  { name: "nix-bin", here: () => !!Bun.which("nix-instantiate") },
  { name: "docker-compose", here: () => findCompose() !== undefined },
  { name: "git", here: () => !!Bun.which("git") },
  { name: "git-lfs", here: () => !!Bun.which("git-lfs") },
] as const;

const SERVERS = [
  { title: "PostgreSQL", url: "TEST_DATABASE_URL", why: "TEST_DATABASE_MISSING", start: startPostgres },
  { title: "Redis", url: "TEST_REDIS_URL", why: "TEST_REDIS_MISSING", start: startRedis },
] as const;

async function main(): Promise<number> {
  const missing = quick ? [] : await installPrograms();
  const folder = mkdtempSync(join(fastFolder(), "prompt-backend-test-"));
  const started: PrivateServer[] = [];
  const env: Record<string, string | undefined> = { ...process.env, TEST_DATABASE_FOLDER: folder };
  let child: Bun.Subprocess | undefined;
  let stopped: NodeJS.Signals | undefined;
  for (const signal of SIGNALS)
    process.on(signal, () => {
      // A second signal kills the tests; the servers are still stopped below.
      child?.kill(stopped ? "SIGKILL" : "SIGTERM");
      stopped ??= signal;
    });

  try {
    for (const { title, url, why, start } of quick ? [] : SERVERS) {
      if (stopped) break;
      if (env[url]) {
        say(`${title}: given by ${url}`);
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
    if (missing.length > 0 && ci) say("CI is set, so that this run fails");

    if (!stopped && !quick && given.length === 0) env["TEST_BINARY"] ||= await compiledBinary();
    if (!stopped) {
      const args = [
        "test",
        "--no-orphans",
        "--parallel",
        `--timeout=${TEST_TIMEOUT_MS}`,
        ...(quick ? quickArgs() : []),
        ...given,
      ];
      say(quick ? "the rest:" : `bun ${args.join(" ")}`);
      child = Bun.spawn([process.execPath, ...args], {
        cwd: root,
        // What cannot run without services is left out on purpose here, which CI would take for a failure.
        env: quick ? { ...env, CI: undefined, TMPDIR: folder } : env,
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

/** Files run in one module registry, which saves half of the time; `npm test` isolates them. */
function quickArgs(): string[] {
  const { run, leftOut } = quickTests();
  for (const [reason, files] of Map.groupBy(leftOut.keys(), (file) => leftOut.get(file)))
    say(`left out, ${reason}: ${files.join(", ")}`);
  return ["--no-isolate", ...run.map((file) => `./test/${file}`)];
}

/** @returns a line for each program that is still missing. */
async function installPrograms(): Promise<string[]> {
  const lacking = PROGRAMS.filter((one) => !one.here()).map((one) => one.name);
  if (lacking.length === 0) return [];
  say(`installing ${lacking.join(", ")}; this can take minutes`);
  const reason = await installPackages(lacking);
  return PROGRAMS.filter((one) => !one.here()).map((one) => `${one.name}: ${reason ?? "still not found"}`);
}

process.exit(await main());
