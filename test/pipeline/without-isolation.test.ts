import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { makeRepository } from "../harness/repository.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";

// Three starts of the service, one after another.
setDefaultTimeout(2 * SLOW_TEST_TIMEOUT_MS);

const REASON =
  "this machine cannot isolate agents: bubblewrap is not installed; install it (Debian: apt-get install bubblewrap)";

// S3: such a service was ready, and its agents read the real keys from /proc.
test("a service without bubblewrap is not ready and runs no agent, but the demo and what the operator allows", async () => {
  await using deployment = await createDeployment("embedded");
  const repository = await makeRepository();
  const PATH = join(deployment.folder, "bin");
  await Bun.$`mkdir ${PATH} && ln -s /usr/bin/* ${PATH}/ && rm -f ${PATH}/bwrap`.quiet();
  const agent = { AGENT: "command", AGENT_COMMAND: JSON.stringify(["sh", "-c", "echo ran > ran.txt"]) };
  const start = (env: Record<string, string>) =>
    startBackend(deployment, { env: { PATH, ALLOW_UNISOLATED_AGENTS: "0", ...env } });
  try {
    {
      await using backend = await start(agent);
      const { body, status } = await backend.request("GET", "/health/ready");
      expect({ status, code: body.code }).toEqual({ status: 503, code: "not_ready" });
      expect(body.msg).toContain(REASON);
      const { promptId } = await backend.submit(repository.path, "Do it");
      const prompt = await until(
        async () => {
          const { prompt } = (await backend.request("GET", `/prompts/${promptId}`)).body;
          return prompt.error !== null && prompt;
        },
        { what: "the prompt to be deferred" },
      );
      expect(prompt).toMatchObject({ status: "Queued", attempt: 0 });
      expect(prompt.error).toContain(`Waiting: ${REASON}`);
      expect(await repository.branches()).toEqual(["main"]);
      expect(backend.process.lines.filter((line) => line.includes(`PROMPTS WAIT: ${REASON}`))).toHaveLength(
        1,
      );
    }
    for (const env of [{ ...agent, ALLOW_UNISOLATED_AGENTS: "1" }, { AGENT: "demo" }]) {
      await using backend = await start(env);
      expect((await backend.request("GET", "/health/ready")).status).toBe(200);
      const { sessionId } = await backend.submit(repository.path, "Do it");
      const session = await backend.waitForStatus(sessionId, "NeedsReviewIpReturned");
      expect(session.inboxStatus).toBe("Completed");
    }
  } finally {
    await repository.remove();
  }
});
