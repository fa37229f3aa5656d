import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";

/** Where PostgreSQL is installed, by platform; Debian has a folder per version. */
const POSTGRES_HOMES = [
  "/usr/lib/postgresql",
  "/usr/pgsql",
  "/opt/homebrew/opt/postgresql",
  "/usr/local/pgsql",
];
const POLICY = "/usr/sbin/policy-rc.d";

export const isRoot = process.getuid?.() === 0;

/** The folder with `initdb` and `postgres` of the newest version, else from PATH; undefined where there is none. */
export function findPostgres(): string | undefined {
  const complete = (folder: string) => ["initdb", "postgres"].every((one) => existsSync(join(folder, one)));
  for (const home of POSTGRES_HOMES) {
    const versions = existsSync(home) ? readdirSync(home).sort((a, b) => Number(b) - Number(a)) : [];
    const folder = [...versions.map((one) => join(home, one, "bin")), join(home, "bin")].find(complete);
    if (folder) return folder;
  }
  return process.env["PATH"]?.split(":").find((one) => one !== "" && complete(one));
}

const firstOf = (names: readonly string[]): string | undefined =>
  names.map((name) => Bun.which(name)).find((path) => path !== null) ?? undefined;

/** Names of Chromium: Debian's first. */
const CHROMIUMS = ["chromium", "chromium-browser", "google-chrome"];

/** Why a test that needs it could not run. */
export const NO_CHROMIUM = "Chromium is missing (`npm test` installs it as root on Debian)";

export const findChromium = (): string | undefined => firstOf(CHROMIUMS);

/** Names of Firefox: Debian's first. */
const FIREFOXES = ["firefox-esr", "firefox"];

/** Why a test that needs it could not run. */
export const NO_FIREFOX = "Firefox is missing (`npm test` installs it as root on Debian)";

export const findFirefox = (): string | undefined => firstOf(FIREFOXES);

/** Go's own installer does not put it on PATH. */
export const findGo = (): string | undefined => firstOf(["go", "/usr/local/go/bin/go"]);

/** Docker Compose, as a program or as a plugin of docker. It validates files without a running engine. */
export function findCompose(): readonly [string, ...string[]] | undefined {
  if (Bun.which("docker-compose")) return ["docker-compose"];
  if (!Bun.which("docker")) return undefined;
  return Bun.spawnSync(["docker", "compose", "version"]).exitCode === 0 ? ["docker", "compose"] : undefined;
}

/**
 * Installs Debian packages, as root, without starting their services: the tests run private ones.
 * @returns undefined when all are installed, else the reason why not.
 */
export async function installPackages(packages: readonly string[]): Promise<string | undefined> {
  if (packages.length === 0) return undefined;
  const list = packages.join(" ");
  if (!Bun.which("apt-get")) return `this machine has no apt-get to install ${list} with`;
  if (!isRoot) return `not root; install it with: sudo apt-get install ${list}`;
  const ownPolicy = !existsSync(POLICY);
  // invoke-rc.d asks this script; 101 forbids starting a service.
  if (ownPolicy) writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", ...packages];
    let result = await runQuietly(install);
    if (result.code !== 0) {
      const update = await runQuietly(["apt-get", "update", "-q"]);
      if (update.code !== 0) return `apt-get update failed: ${update.tail}`;
      result = await runQuietly(install);
    }
    return result.code === 0 ? undefined : `apt-get install ${list} failed: ${result.tail}`;
  } finally {
    if (ownPolicy) rmSync(POLICY, { force: true });
  }
}

/** Runs a program and waits for its exit. `tail` has the last five lines of its output. */
export async function runQuietly(
  argv: readonly string[],
  options: { cwd?: string } = {},
): Promise<{ code: number; tail: string }> {
  const child = Bun.spawn([...argv], {
    ...options,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), child.exited]);
  return { code, tail: `${out}\n${err}`.trim().split("\n").slice(-5).join(" | ") };
}

async function text(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new StringDecoder("utf8");
  let all = "";
  for await (const chunk of stream) all = (all + decoder.write(Buffer.from(chunk))).slice(-4000);
  return all + decoder.end();
}

/** Below those that systems give to whoever asks for any: of the other tests' servers and connections, none gets one of these. */
const PORTS = { from: 12_000, to: 32_000 };

/** A TCP port of 127.0.0.1 that is free, and is not given to anybody who does not ask for this very one. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    const isFree = await new Promise<boolean>((resolve, reject) => {
      const server = createServer();
      server.once("error", (error: NodeJS.ErrnoException) =>
        error.code === "EADDRINUSE" ? resolve(false) : reject(error),
      );
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
