import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "../test/harness/machine.ts";
import { type RunningProcess, scratchEnv, startProcess } from "../test/harness/process.ts";
import { START_TIMEOUT_MS } from "../test/harness/timeouts.ts";
import { until } from "../test/harness/until.ts";

/** `bun .ci/smoke.ts [BINARY]`: a user's first five minutes, with nothing but the executable in an empty directory. */
const RUN_TIMEOUT_MS = 90_000;

async function smoke(binary: string): Promise<void> {
  if (!existsSync(binary)) throw new Error(`${binary} does not exist. Run: npm run build`);
  const scratch = mkdtempSync(join(tmpdir(), "prompt-backend-smoke-"));
  const home = join(scratch, "home");
  mkdirSync(home);
  try {
    const repo = await makeRepository(join(scratch, "repo"), home);
    {
      const port = await freePort();
      const env = { PORT: String(port), LOCAL_REPOSITORIES: repo };
      await using server = startProcess({ argv: [binary], cwd: home, env });
      const [, url = ""] = await server.waitForLine(/listens on (http:\/\/\S+)/, {
        timeoutMs: START_TIMEOUT_MS,
      });
      step(`listens on ${url}`);
      try {
        await runSession({ binary, home, repo, url });
        await shutDown(server);
      } catch (error) {
        process.stderr.write(`The server's last lines:\n${server.lines.slice(-40).join("\n")}\n`);
        throw error;
      }
      await until(() => processesNaming(scratch).length === 0, {
        what: `every process of ${scratch} to exit; left: ${processesNaming(scratch).join(", ")}`,
      });
      step("no process is left");
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The page and all that it names are in the executable. */
async function openConsole(url: string): Promise<void> {
  const page = await (await fetch(url)).text();
  const assets = [...page.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path = ""]) => path);
  for (const path of assets) {
    const { status } = await fetch(`${url}${path}`);
    if (status !== 200) throw new Error(`GET ${path} answered ${status}`);
  }
  if (!assets.some((path) => path.endsWith(".js"))) throw new Error(`the console is not at ${url}:\n${page}`);
  step("the web console is there");
}

async function runSession(options: {
  binary: string;
  home: string;
  repo: string;
  url: string;
}): Promise<void> {
  const { binary, home, repo, url } = options;
  const health = await fetch(`${url}/health`);
  if (health.status !== 200) throw new Error(`GET /health answered ${health.status}: ${await health.text()}`);
  step("GET /health answers 200");
  await openConsole(url);

  await using issuer = startProcess({ argv: [binary, "token", "--user", "alice"], cwd: home });
  const { code } = await issuer.exit;
  const token = issuer.stdout.at(-1) ?? "";
  if (code !== 0 || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token))
    throw new Error(`token --user alice exited with ${code}:\n${issuer.lines.join("\n")}`);
  step("token --user alice prints a token");

  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const ask = async <T>(path: string, init?: RequestInit): Promise<T> => {
    const response = await fetch(`${url}${path}`, { ...init, headers });
    const text = await response.text();
    if (!response.ok)
      throw new Error(`${init?.method ?? "GET"} ${path} answered ${response.status}: ${text}`);
    return JSON.parse(text) as T;
  };
  const messages = [{ content: "Say hello in the README" }];
  const body = JSON.stringify({ repo, target_branch: "main", messages });
  const { sessionId } = await ask<{ sessionId: string }>("/sessions/with-prompt", { method: "POST", body });
  step(`session ${sessionId} is accepted`);

  type Session = { uiStatus: string; branch: string };
  const seen: string[] = [];
  const session = await until(
    async () => {
      const { session } = await ask<{ session: Session }>(`/sessions/${sessionId}`);
      if (seen.at(-1) !== session.uiStatus) seen.push(session.uiStatus);
      return session.uiStatus === "NeedsReviewIpReturned" && session;
    },
    { what: "the session's uiStatus to be NeedsReviewIpReturned", timeoutMs: RUN_TIMEOUT_MS, everyMs: 100 },
  );
  step(`its uiStatus went ${seen.join(" → ")}`);

  const commits = await git(["-C", repo, "rev-list", "--count", `main..${session.branch}`], home);
  if (Number(commits) < 1) throw new Error(`Branch ${session.branch} of ${repo} has no commit of its own`);
  step(`branch ${session.branch} has ${commits} commit in the source repository`);
}

async function shutDown(server: RunningProcess): Promise<void> {
  server.kill("SIGTERM");
  const deadline = Promise.withResolvers<never>();
  const timer = setTimeout(() => deadline.reject(new Error("SIGTERM: still running after 30 s")), 30_000);
  const { code, signal } = await Promise.race([server.exit, deadline.promise]).finally(() =>
    clearTimeout(timer),
  );
  if (code !== 0) throw new Error(`SIGTERM: exited with ${signal ?? `code ${code}`} instead of 0`);
  step("SIGTERM: exit code 0");
}

async function makeRepository(folder: string, home: string): Promise<string> {
  const identity = ["-c", "user.name=Smoke", "-c", "user.email=smoke@localhost"];
  await git(["init", "-q", "-b", "main", folder], home);
  await Bun.write(join(folder, "README.md"), "# Smoke\n");
  await git(["-C", folder, "add", "README.md"], home);
  await git(["-C", folder, ...identity, "commit", "-q", "-m", "First"], home);
  return folder;
}

async function git(args: readonly string[], home: string): Promise<string> {
  const child = Bun.spawn(["git", ...args], { env: scratchEnv({ home }), stderr: "pipe", stdin: "ignore" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (child.exitCode !== 0) throw new Error(`git ${args.join(" ")}: ${err.trim()}`);
  return out.trim();
}

/** Processes whose command line, working directory or environment contains the folder. Linux only; elsewhere empty. */
function processesNaming(folder: string): string[] {
  if (!existsSync("/proc/self/environ")) return [];
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        const all = [command, readFileSync(`/proc/${pid}/environ`, "utf8"), readlinkSync(`/proc/${pid}/cwd`)];
        return all.some((one) => one.includes(folder)) ? [`${pid} ${command.replaceAll("\0", " ")}`] : [];
      } catch {
        return []; // It has exited, or belongs to another user.
      }
    });
}

function step(line: string): void {
  process.stdout.write(`ok  ${line}\n`);
}

await smoke(resolve(process.argv[2] ?? "prompt-backend"));
