import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { createDeployment, startBackend, startWorker } from "../harness/backend.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith } from "../harness/services.ts";
import { until } from "../harness/until.ts";

const LONG = 120_000;
/** Runs long enough to be killed in the middle, and prints when it begins. */
const SLOW = {
  AGENT: "command",
  AGENT_COMMAND: JSON.stringify(["sh", "-c", "echo begun; sleep 2; cat > work.txt; echo ended"]),
};

const told = (messages: { data: unknown }[], what: string) =>
  messages.flatMap(({ data }) => linesIn(data)).filter((line) => line === what).length;
/** The lines of an event's text: neighbouring lines of plain text share an event. */
const linesIn = (data: unknown): string[] =>
  (data as { message?: { content?: { text?: string }[] } }).message?.content?.[0]?.text?.split("\n") ?? [];

test(
  "embedded: after kill -9 during a run, a restart loses nothing and completes the work",
  async () => {
    await using deployment = await createDeployment("embedded");
    const repository = await makeRepository();
    let ids: { sessionId: string; promptId: string };
    let waiting: { sessionId: string; promptId: string };
    {
      await using first = await startBackend(deployment, { env: { ...SLOW, WORKER_CONCURRENCY: "1" } });
      ids = await first.submit(repository.path, "Survive this");
      waiting = await first.submit(repository.path, "And this");
      await until(async () => told(await first.messages(ids.promptId), "begun") === 1, {
        what: "the agent to begin",
      });
      first.process.kill("SIGKILL");
      await first.process.exit;
    }
    await using second = await startBackend(deployment, { env: SLOW });
    for (const { sessionId, promptId } of [ids, waiting]) {
      const { branch } = await second.waitForStatus(sessionId, "NeedsReviewIpReturned", 60_000);
      expect((await repository.git("rev-list", "--count", `main..${branch}`)).trim()).toBe("1");
      const messages = await second.messages(promptId);
      // The agent continued without a runner: no line is lost or repeated.
      expect(told(messages, "begun")).toBe(1);
      expect(told(messages, "ended")).toBe(1);
      expect(messages.map(({ seq }: { seq: number }) => seq)).toEqual(messages.map((_, index) => index + 1));
    }
    expect(await readdir(join(deployment.dataDir, "sandboxes"))).toEqual([]);
    await repository.remove();
  },
  LONG,
);

test(
  "SIGTERM during a run leaves the agent running, and the next process adopts it at the next line",
  async () => {
    await using deployment = await createDeployment("embedded");
    const repository = await makeRepository();
    const counting = {
      AGENT: "command",
      AGENT_COMMAND: JSON.stringify([
        "sh",
        "-c",
        "for i in $(seq 200); do echo line $i; sleep 0.02; done; cat > work.txt",
      ]),
    };
    let ids: { sessionId: string; promptId: string };
    {
      await using first = await startBackend(deployment, { env: counting });
      ids = await first.submit(repository.path, "Go on");
      await until(async () => told(await first.messages(ids.promptId), "line 20") === 1, { what: "line 20" });
      const before = performance.now();
      first.process.kill("SIGTERM");
      expect(await first.process.exit).toEqual({ code: 0, signal: null });
      // Shutdown does not wait for the agent.
      expect(performance.now() - before).toBeLessThan(10_000);
    }
    await using second = await startBackend(deployment, { env: counting });
    const { branch } = await second.waitForStatus(ids.sessionId, "NeedsReviewIpReturned", 60_000);
    expect(await repository.git("show", `${branch}:work.txt`)).toBe("Go on");
    const texts = (await second.messages(ids.promptId)).flatMap(({ data }) => linesIn(data));
    expect(texts.filter((text) => /^line /.test(text))).toEqual(
      Array.from({ length: 200 }, (_, index) => `line ${index + 1}`),
    );
    const { prompts } = (await second.request("GET", `/sessions/${ids.sessionId}/prompts`)).body;
    expect(prompts).toMatchObject([{ status: "Completed", attempt: 1 }]);
    await repository.remove();
  },
  LONG,
);

test(
  "when agent and runner are both killed, the prompt starts over from a clean checkout",
  async () => {
    await using deployment = await createDeployment("embedded");
    const repository = await makeRepository();
    let ids: { sessionId: string; promptId: string };
    {
      await using first = await startBackend(deployment, {
        env: {
          AGENT: "command",
          AGENT_COMMAND: JSON.stringify(["sh", "-c", "echo half > half.txt; echo begun; sleep 600"]),
        },
      });
      ids = await first.submit(repository.path, "Start over");
      await until(async () => told(await first.messages(ids.promptId), "begun") === 1, {
        what: "the agent to begin",
      });
      first.process.kill("SIGKILL");
      await first.process.exit;
      await deployment.killAgents();
    }
    await using second = await startBackend(deployment, { env: SLOW });
    const { branch } = await second.waitForStatus(ids.sessionId, "NeedsReviewIpReturned", 60_000);
    expect(await repository.git("show", "--name-only", "--format=", branch)).toBe("work.txt\n");
    const { prompts } = (await second.request("GET", `/sessions/${ids.sessionId}/prompts`)).body;
    expect(prompts).toMatchObject([{ status: "Completed", attempt: 2 }]);
    await repository.remove();
  },
  LONG,
);

test(
  "SIGTERM with --handover=stop during a run hands the prompt over, and the next process starts it again",
  async () => {
    await using deployment = await createDeployment("embedded");
    const repository = await makeRepository();
    let ids: { sessionId: string; promptId: string };
    {
      await using first = await startBackend(deployment, {
        args: ["server", "--with-bg-tasks", "--handover=stop"],
        env: {
          ...SLOW,
          AGENT_COMMAND: JSON.stringify(["sh", "-c", "echo begun; sleep 600"]),
          SHUTDOWN_TIMEOUT_SECONDS: "0",
        },
      });
      ids = await first.submit(repository.path, "Wait for me");
      await until(async () => told(await first.messages(ids.promptId), "begun") === 1, {
        what: "the agent to begin",
      });
      first.process.kill("SIGTERM");
      expect(await first.process.exit).toEqual({ code: 0, signal: null });
    }
    await using second = await startBackend(deployment, { env: SLOW });
    const { branch } = await second.waitForStatus(ids.sessionId, "NeedsReviewIpReturned", 60_000);
    expect(await repository.git("show", `${branch}:work.txt`)).toBe("Wait for me");
    await repository.remove();
  },
  LONG,
);

describeWith(["postgres", "redis"], "with several processes", () => {
  test(
    "a killed worker is superseded by another, and flushing Redis meanwhile loses nothing",
    async () => {
      await using deployment = await createDeployment("redis");
      const repository = await makeRepository();
      await using backend = await startBackend(deployment, { args: ["server"] });
      const tasks = ["bg-tasks", "outbox-publisher", "prompt-runner", "ip-return-poller", "session-poller"];
      let ids: { sessionId: string; promptId: string };
      {
        await using doomed = await startWorker(deployment, tasks, { ...SLOW, WORKER_CONCURRENCY: "1" });
        ids = await backend.submit(repository.path, "Take over");
        await until(async () => told(await backend.messages(ids.promptId), "begun") === 1, {
          what: "the agent to begin",
        });
        doomed.kill("SIGKILL");
        await doomed.exit;
      }
      const redis = new Bun.RedisClient(deployment.env["REDIS_URL"]);
      await redis.send("FLUSHDB", []);
      redis.close();
      await using _worker = await startWorker(deployment, tasks, SLOW);
      const { branch } = await backend.waitForStatus(ids.sessionId, "NeedsReviewIpReturned", 60_000);
      expect(await repository.git("show", `${branch}:work.txt`)).toBe("Take over");
      const { prompts } = (await backend.request("GET", `/sessions/${ids.sessionId}/prompts`)).body;
      // The other runner adopted the running agent.
      expect(prompts).toMatchObject([{ status: "Completed", attempt: 1 }]);
      expect(told(await backend.messages(ids.promptId), "begun")).toBe(1);
      await repository.remove();
    },
    LONG,
  );
});
