import { describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Combination, createDeployment, startBackend, startWorker } from "../harness/backend.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith } from "../harness/services.ts";
import { until } from "../harness/until.ts";

const LONG = 120_000;
const AT_REST = ["NeedsReview", "NeedsReviewIpReturned"];

/** The same guarantees for every combination of database and queue. */
function guarantees(combination: Combination): void {
  test(
    "a prompt goes in, a branch comes out, the sandbox is returned",
    async () => {
      await using deployment = await createDeployment(combination);
      await using backend = await startBackend(deployment, { env: { AGENT: "demo" } });
      const repository = await makeRepository();
      const { sessionId, promptId } = await backend.submit(repository.path, "Say hello");
      const created = await backend.session(sessionId);
      expect(["Pending", "InProgress", ...AT_REST]).toContain(created.uiStatus);
      const session = await backend.waitForStatus(sessionId, "NeedsReviewIpReturned");
      expect(session).toMatchObject({ inboxStatus: "Completed", sbxConfig: null });

      const messages = await backend.messages(promptId);
      expect(messages.map(({ seq }: { seq: number }) => seq)).toEqual(messages.map((_, index) => index + 1));
      expect(JSON.stringify(messages.at(-1)?.data)).toContain(`was pushed to ${repository.path}`);
      expect(await repository.git("log", "--format=%s", `main..${session.branch}`)).not.toBe("");
      expect(await repository.git("show", `${session.branch}:PROMPTS.md`)).toContain("Say hello");

      // A follow-up continues on the branch and runs once.
      const followUp = await backend.request("POST", "/prompts", {
        session_id: sessionId,
        data: [{ content: "And goodbye", type: "text" }],
      });
      expect(followUp.status).toBe(200);
      await until(async () => (await backend.session(sessionId)).inboxStatus === "Completed", {
        what: "the follow-up",
        timeoutMs: 20_000,
      });
      await backend.waitForStatus(sessionId, "NeedsReviewIpReturned");
      const prompts = await repository.git("show", `${session.branch}:PROMPTS.md`);
      expect(prompts.match(/Say hello/g)).toHaveLength(1);
      expect(prompts.match(/And goodbye/g)).toHaveLength(1);

      expect(await readdir(join(deployment.dataDir, "sandboxes"))).toEqual([]);
      backend.process.kill("SIGTERM");
      expect(await backend.process.exit).toEqual({ code: 0, signal: null });
      await repository.remove();
    },
    LONG,
  );

  test(
    "many sessions at once all end, each exactly once",
    async () => {
      await using deployment = await createDeployment(combination);
      const AGENT_COMMAND = JSON.stringify(["sh", "-c", "cat >> work.txt; echo did it"]);
      await using backend = await startBackend(deployment, { env: { AGENT: "command", AGENT_COMMAND } });
      const repository = await makeRepository();
      const submitted = await Promise.all(
        Array.from({ length: combination === "redis" ? 50 : 20 }, (_, n) =>
          backend.submit(repository.path, `Task number ${n}`),
        ),
      );
      for (const { sessionId } of submitted)
        await backend.waitForStatus(sessionId, "NeedsReviewIpReturned", 100_000);
      for (const [n, { sessionId, promptId }] of submitted.entries()) {
        const session = await backend.session(sessionId);
        const { body } = await backend.request("GET", `/sessions/${sessionId}/prompts`);
        expect(body.prompts).toMatchObject([{ id: promptId, status: "Completed", attempt: 1 }]);
        expect((await repository.git("rev-list", "--count", `main..${session.branch}`)).trim()).toBe("1");
        expect(await repository.git("show", `${session.branch}:work.txt`)).toBe(`Task number ${n}`);
        expect(
          (await backend.messages(promptId)).filter(({ data }) => JSON.stringify(data).includes("did it")),
        ).toHaveLength(1);
      }
      expect(await readdir(join(deployment.dataDir, "sandboxes"))).toEqual([]);
      await repository.remove();
    },
    LONG,
  );

  test(
    "concurrent prompts of one session run sequentially, in order",
    async () => {
      await using deployment = await createDeployment(combination);
      const AGENT_COMMAND = JSON.stringify(["sh", "-c", "cat >> work.txt; echo >> work.txt; echo did it"]);
      await using backend = await startBackend(deployment, { env: { AGENT: "command", AGENT_COMMAND } });
      const repository = await makeRepository();
      const { sessionId } = await backend.submit(repository.path, "0");
      for (const n of [1, 2, 3, 4])
        await backend.request("POST", "/prompts", { session_id: sessionId, data: String(n) });
      const allEnded = async () => {
        const { prompts } = (await backend.request("GET", `/sessions/${sessionId}/prompts`)).body;
        return prompts.every(({ status }: { status: string }) => status === "Completed");
      };
      await until(allEnded, { what: "all five prompts to end", timeoutMs: 60_000 });
      const { branch } = await backend.waitForStatus(sessionId, "NeedsReviewIpReturned");
      expect(await repository.git("show", `${branch}:work.txt`)).toBe("0\n1\n2\n3\n4\n");
      await repository.remove();
    },
    LONG,
  );
}

describe("embedded", () => guarantees("embedded"));
describeWith("postgres", "PostgreSQL only", () => guarantees("postgres"));
describeWith(["postgres", "redis"], "PostgreSQL and Redis", () => guarantees("redis"));

describeWith(["postgres", "redis"], "each part in its own process", () => {
  test(
    "a server and one process per task complete a prompt",
    async () => {
      await using deployment = await createDeployment("redis");
      await using backend = await startBackend(deployment, { args: ["--server"] });
      const env = { AGENT: "demo" };
      await using _publisher = await startWorker(
        deployment,
        ["--bg-tasks", "outbox-publisher", "ip-return-poller"],
        env,
      );
      await using _runner = await startWorker(deployment, ["bg-tasks", "prompt-runner"], env);
      await using _poller = await startWorker(
        deployment,
        ["--bg-tasks", "session-poller", "title-generator"],
        env,
      );
      const repository = await makeRepository();
      const { sessionId } = await backend.submit(repository.path, "Apart");
      const { branch } = await backend.waitForStatus(sessionId, "NeedsReviewIpReturned");
      expect(await repository.git("show", `${branch}:PROMPTS.md`)).toContain("Apart");
      await repository.remove();
    },
    LONG,
  );
});
