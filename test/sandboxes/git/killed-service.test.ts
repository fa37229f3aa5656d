import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeFolder } from "../../harness/remove-folder.ts";
import { unavailable } from "../../harness/services.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { until } from "../../harness/until.ts";
import { whyNotIsolated } from "../fixture.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

const ROUNDS = 20;
/** A sandbox takes about as long to be made. */
const WINDOW_MS = 120;

const reason = (await whyNotIsolated()) ?? (Bun.which("socat") ? undefined : "socat is not installed");
if (reason) unavailable({ name: "git of a service that ends early", reason });

// bubblewrap follows its parent only from some moment on, and the PID 1 inside follows bubblewrap from a later one on.
describe.if(reason === undefined)("what knows git's credential ends, however early", () => {
  let dataDir: string;
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "pb-killed-"));
  });
  afterAll(() => removeFolder(dataDir));

  async function startService(secret: string) {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "git-service.ts")], {
      env: {
        ...{
          PATH: process.env["PATH"],
          DATA_DIR: dataDir,
          AUTH_MODE: "local",
          PRIVATE_GIT_HOSTS: "127.0.0.1",
        },
        ...{ GITHUB_URL: "http://127.0.0.1:9", GITHUB_TOKEN: secret },
      },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    expect((await lines.read()).value).toBe("ready\n");
    return {
      async tell(line: "start" | "stop") {
        child.stdin.write(`${line}\n`);
        await child.stdin.flush();
        expect((await lines.read()).value).toBe(`${line}\n`);
      },
      async [Symbol.asyncDispose]() {
        child.kill("SIGKILL");
        await child.exited;
      },
    };
  }

  /** Waits for a moment of the window, and at last until three gits run: so it is shown that they do. */
  async function pass(round: number, secret: string) {
    const running = async () => (await holdersOf(secret)).filter((one) => one.startsWith("sleep ")).length;
    if (round === ROUNDS) await until(async () => (await running()) >= 3, { what: "git to run" });
    else await Bun.sleep(((round + Math.random()) * WINDOW_MS) / ROUNDS);
  }

  const nothingKnows = (secret: string) =>
    until(async () => expect(await holdersOf(secret)).toEqual([]) === undefined, { what: "git to end" });

  test("after a service that is killed", async () => {
    const secret = `ghp_${crypto.randomUUID()}`;
    for (let round = 0; round <= ROUNDS; round++) {
      await using service = await startService(secret);
      await service.tell("start");
      await pass(round, secret);
    }
    await nothingKnows(secret);
  });

  test("when it is aborted", async () => {
    const secret = `ghp_${crypto.randomUUID()}`;
    await using service = await startService(secret);
    for (let round = 0; round <= ROUNDS; round++) {
      await service.tell("start");
      await pass(round, secret);
      await service.tell("stop");
    }
    await until(async () => (await holdersOf(secret)).length === 1, { what: "the service alone to know it" });
  });
});

/** The arguments of processes of this machine that have a secret in their arguments or their environment. */
async function holdersOf(secret: string): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const texts = await Promise.all(
    pids.map(async (pid) => {
      const read = (name: string) => readFile(join("/proc", pid, name), "utf8").catch(() => "");
      return { cmdline: await read("cmdline"), environ: await read("environ") };
    }),
  );
  return texts
    .filter(({ cmdline, environ }) => cmdline.includes(secret) || environ.includes(secret))
    .map(({ cmdline }) => cmdline.replaceAll("\0", " "));
}
