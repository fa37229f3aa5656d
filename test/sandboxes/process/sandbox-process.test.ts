import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import type { AgentCommand } from "../../../src/agents/agent.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { describeSandboxes } from "../describe-sandboxes.ts";
import { LIMIT_MS } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

await describeSandboxes((setup) => {
  test("a daemon with a session of its own ends with the run", async () => {
    const { fixture, repo } = setup();
    const sandbox = await fixture.open(fixture.request(repo.path));
    const script = `setsid sh -c 'trap "" TERM HUP; while :; do date +%N > beat; sleep 0.01; done' >/dev/null 2>&1 & while ! [ -s beat ]; do sleep 0.01; done`;
    await fixture.run(sandbox, script);
    expect(await marked(sandbox.config.id)).toEqual([]);
    expect(existsSync(join(sandbox.hostPaths.checkout, "beat"))).toBe(true);
  });

  test("stop: SIGTERM first, SIGKILL after the grace period", async () => {
    const { fixture, repo } = setup();
    const sandbox = await fixture.open(fixture.request(repo.path));
    const start = async (trap: string) => {
      const script = `trap '${trap}' TERM; echo ready; while :; do sleep 0.01; done`;
      const child = sandbox.start({ argv: ["sh", "-c", script], env: {}, stdin: "", readable: [] }, LIMIT_MS);
      for await (const { line } of child.lines(0)) if (line === "ready") break;
      return child;
    };
    const polite = await start("exit 7");
    await polite.stop(5_000);
    expect((await polite.exit).code).toBe(7);
    const deaf = await start("");
    await Promise.all([deaf.stop(50), deaf.stop(50)]);
    expect(await deaf.exit).toMatchObject({ signal: "SIGKILL" });
    expect(await marked(sandbox.config.id)).toEqual([]);
  });

  test("stop: ends processes that are just being started", async () => {
    const { fixture, repo } = setup();
    const sandbox = await fixture.open(fixture.request(repo.path));
    for (let round = 0; round < 10; round += 1) {
      const script =
        "echo ready; while :; do setsid sh -c 'exec sleep 30' & setsid sleep 30 & sleep 0.001; done";
      const child = sandbox.start({ argv: ["sh", "-c", script], env: {}, stdin: "", readable: [] }, LIMIT_MS);
      for await (const { line } of child.lines(0)) if (line === "ready") break;
      await child.stop(0);
      expect(await marked(sandbox.config.id)).toEqual([]);
    }
  }, 60_000);

  /**
   * Cause: the names and values of a project's variables are its user's, and the supervisor's shell, dd, tee, timeout and
   * bubblewrap had them, outside of the sandbox: GCONV_PATH, or PS4 and SHELLOPTS of bash, make such programs run anything.
   */
  test("what runs outside of the sandbox does not have the program's variables", async () => {
    const { fixture, repo, isolated } = setup();
    const sandbox = await fixture.open(fixture.request(repo.path));
    const value = `probe-${crypto.randomUUID()}`;
    const command: AgentCommand = {
      ...{ argv: ["sh", "-c", 'echo "$GCONV_PATH|$LINES_OF"; sleep 30'], stdin: "", readable: [] },
      env: { GCONV_PATH: value, LINES_OF: "one\n--two 'three'" },
    };
    // The first one may find a sandbox that stands by.
    for (const attempt of [1, 2]) {
      const child = sandbox.start(command, LIMIT_MS);
      const lines: string[] = [];
      for await (const { line } of child.lines(0)) if (lines.push(line) === 2) break;
      expect({ attempt, lines }).toEqual({ attempt, lines: [`${value}|one`, "--two 'three'"] });
      expect(await namespacesWith(value)).toEqual(isolated ? ["another"] : ["ours"]);
      await child.stop(0);
    }
  });

  test("a missing program is reported", async () => {
    const { fixture, repo } = setup();
    const sandbox = await fixture.open(fixture.request(repo.path));
    const child = sandbox.start({ argv: ["/no/such/program"], env: {}, stdin: "x", readable: [] }, LIMIT_MS);
    expect((await child.exit).code).not.toBe(0);
    expect((await child.exit).stderr).toContain("/no/such/program");
  });
});

/** Ids of the processes whose environment names this sandbox. */
async function marked(id: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc"))
    if (/^\d+$/.test(pid)) {
      const text = await Bun.file(`/proc/${pid}/environ`)
        .text()
        .catch(() => "");
      if (text.includes(id)) found.push(pid);
    }
  return found;
}

/** In which namespaces processes have this text in their environment. */
async function namespacesWith(text: string): Promise<string[]> {
  const own = await readlink("/proc/self/ns/pid");
  const found = new Set<string>();
  for (const pid of (await readdir("/proc")).filter((one) => /^\d+$/.test(one))) {
    const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
    if (!environment.includes(text)) continue;
    const namespace = await readlink(`/proc/${pid}/ns/pid`).catch(() => own);
    found.add(namespace === own ? "ours" : "another");
  }
  return [...found];
}
