import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Agent } from "../../src/agents/agent.ts";
import { createDemoAgent } from "../../src/agents/demo.ts";
import { readConfig } from "../../src/config/config.ts";
import { openSandboxes } from "../../src/sandboxes/providers.ts";
import type { SandboxProvider } from "../../src/sandboxes/sandbox.ts";
import { whyNotIsolated } from "../sandboxes/fixture.ts";
import { describeRuns, logger, type RunFixture, shellAgent } from "./fixture.ts";

const notIsolated = await whyNotIsolated();
const WAITING = "Waiting: this machine cannot isolate agents: bubblewrap is not installed";

// An agent leaves a filter in its checkout's .git/config. The service is started again while bubblewrap does not work,
// adopts the agent, and packed its work without a sandbox: git ran the filter as the service.
if (notIsolated) test.skip(`isolation that is gone after a restart: ${notIsolated}`, () => undefined);
else
  describeRuns("isolation that is gone after a restart", (fixture) => {
    let outside: string;
    let proof: string;
    let closed: SandboxProvider;
    beforeAll(async () => {
      outside = await mkdtemp(join(tmpdir(), "pb-outside-"));
      proof = join(outside, "filter-ran");
      const path = join(outside, "bin");
      await Bun.$`mkdir -p ${path} && ln -s /usr/bin/* ${path}/ && rm -f ${path}/bwrap`.quiet();
      const config = readConfig({
        DATA_DIR: fixture().machine.dataDir,
        PATH: path,
        AUTH_MODE: "local",
        LOCAL_REPOSITORIES: tmpdir(),
      });
      closed = await openSandboxes({ config, logger });
    });
    afterAll(() => rm(outside, { recursive: true, force: true }));

    const attacker = (last = "until [ -e go ]; do sleep 0.02; done") =>
      shellAgent(
        `git config filter.x.clean 'touch ${proof} 2>/dev/null; cat'; echo '*.txt filter=x' > .gitattributes; echo work > work.txt; echo begun; ${last}`,
      );
    /** Runs the prompt on the machine without bubblewrap, until it says what it waits for; then that process shuts down. */
    const runClosed = async (runs: RunFixture, promptId: string, agent: Agent) => {
      const shutdown = new AbortController();
      const running = runs.run(promptId, runs.depsFor(agent, { sandboxes: closed }), shutdown.signal);
      const waits = async () => {
        for (;;) {
          const texts = (await runs.textsOf(promptId)).join("\n");
          if (texts.includes(WAITING)) return "waits";
          await Bun.sleep(20);
        }
      };
      const ended = await Promise.race([waits(), running.then(() => "ended")]);
      shutdown.abort(new Error("shutting down"));
      await running;
      return ended;
    };
    const release = async (runs: RunFixture, sessionId: string) => {
      const id = (await runs.sessionRow(sessionId))?.sbxConfig?.id ?? "";
      await writeFile(join(runs.sandboxesDir, id, "disk/checkout/go"), "");
    };

    test.each([
      ["the same agent", () => attacker()],
      ["AGENT=demo, which itself needs none", () => createDemoAgent()],
    ])("work is not packed without it, and waits; with %s", async (_what, next) => {
      const runs = fixture();
      const { sessionId, promptId } = await runs.submit();
      await runs.detachAfter(promptId, runs.depsFor(attacker()), "begun");
      await release(runs, sessionId);
      expect(await runClosed(runs, promptId, next())).toBe("waits");
      expect(existsSync(proof)).toBe(false);
      expect(await runs.promptRow(promptId)).toMatchObject({ status: "Running", attempt: 1, failures: [] });

      await runs.run(promptId, runs.depsFor(attacker()));
      expect(await runs.promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1 });
      const { branch } = (await runs.sessionRow(sessionId)) ?? {};
      expect(await runs.fileOnBranch(branch, "work.txt")).toBe("work\n");
      expect(existsSync(proof)).toBe(false);
    });

    test("an agent that was killed is not resumed without it", async () => {
      const runs = fixture();
      const { sessionId, promptId } = await runs.submit();
      await runs.detachAfter(promptId, runs.depsFor(attacker()), "begun");
      await runs.killAgent(sessionId);
      const resumed = shellAgent(`touch ${proof}`, { hasTranscript: async () => true });
      expect(await runClosed(runs, promptId, resumed)).toBe("waits");
      expect(existsSync(proof)).toBe(false);
    });

    test("nor is one resumed that failed while no runner watched it", async () => {
      const runs = fixture();
      const { sessionId, promptId } = await runs.submit();
      const agent = attacker("until [ -e go ]; do sleep 0.02; done; exit 1");
      await runs.detachAfter(promptId, runs.depsFor(agent), "begun");
      await release(runs, sessionId);
      const resumed = shellAgent(`touch ${proof}`, { hasTranscript: async () => true });
      expect(await runClosed(runs, promptId, resumed)).toBe("waits");
      expect(existsSync(proof)).toBe(false);
    });
  });
