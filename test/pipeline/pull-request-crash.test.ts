import { expect, test } from "bun:test";
import { join } from "node:path";
import { SQL } from "bun";
import { createDeployment, type Reply, startBackend } from "../harness/backend.ts";
import { startForgeHost } from "../harness/forge-host.ts";
import { downloadGithubDescriptions } from "../harness/github-description.ts";
import { startGithubStandIn } from "../harness/github-stand-in.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith } from "../harness/services.ts";

const LONG = 240_000;
const PATH = "acme/shop";
const CREATE = new RegExp(`^POST \\S+/repos/${PATH}/pulls$`);

/** What a dead program has left of its pull requests; their leases, a minute long, are over then. */
async function endLeases(url: string) {
  await using sql = new SQL({ url, max: 1 });
  const left: { status: string }[] = await sql`update effect set due_at = now(), lease_until = null
    where kind = 'pull_request' returning status`;
  return left.map(({ status }) => status);
}

describeWith("postgres", "kill -9 of the whole program", () => {
  test(
    "while a host makes a pull request, or has made it: there is one, and the client's repetition has it",
    async () => {
      await using deployment = await createDeployment("postgres");
      await downloadGithubDescriptions();
      const [source, github] = await Promise.all([makeRepository(), startGithubStandIn()]);
      const { token } = github.addToken();
      const repository = github.addRepository(PATH);
      const host = await startForgeHost({
        ...{ api: github.url, path: PATH, source: source.path, root: join(deployment.folder, "host") },
        passwords: () => [token.reveal()],
      });
      const env = {
        ...{ GITHUB_URL: host.url, GITHUB_TOKEN: token.reveal(), PRIVATE_GIT_HOSTS: "127.0.0.1" },
        ...{ AGENT: "command", AGENT_COMMAND: JSON.stringify(["sh", "-c", "cat > work.txt"]) },
      };
      const killed = Promise.withResolvers<void>();
      const wanted: {
        path: string;
        headers: { "idempotency-key": string };
        lost: Promise<Reply | string>;
      }[] = [];
      {
        await using first = await startBackend(deployment, { env });
        const sessions = await Promise.all(["One", "Two"].map((text) => first.submit(PATH, text)));
        for (const { sessionId } of sessions)
          await first.waitForStatus(sessionId, "NeedsReviewIpReturned", 90_000);
        await host.showBranches(repository.branches);
        const reached = [true, false].map((isMade) => {
          const { promise, resolve } = Promise.withResolvers<void>();
          host.once(CREATE, async (proceed) => {
            const reply = isMade ? await proceed() : undefined;
            resolve();
            await killed.promise;
            return reply ?? new Response(null, { status: 502 });
          });
          return promise;
        });
        for (const [index, { sessionId }] of sessions.entries()) {
          const path = `/sessions/${sessionId}/pull-request`;
          const headers = { "idempotency-key": crypto.randomUUID() };
          wanted.push({ path, headers, lost: first.request("POST", path, {}, headers).catch(() => "lost") });
          // One that waits for its host holds up no other.
          await reached[index];
        }
        first.process.kill("SIGKILL");
        await first.process.exit;
        killed.resolve();
      }
      for (const { lost } of wanted) expect(await lost).toBe("lost");
      expect(repository.pulls).toHaveLength(1);
      expect(await endLeases(deployment.env["DATABASE_URL"] ?? "")).toEqual(["uncertain", "uncertain"]);

      await using second = await startBackend(deployment, { env });
      const numbers: number[] = [];
      for (const { path, headers } of wanted) {
        const { status, body } = await second.request("POST", path, {}, headers);
        expect(status).toBe(200);
        expect(body).toMatchObject({
          pull_request: { state: "open" },
          effect: { status: "done", attempts: 2, result: { number: body.pull_request.number } },
        });
        numbers.push(body.pull_request.number);
        const { effects } = (await second.request("GET", path.replace(/pull-request$/, "effects"))).body;
        expect(effects.map((one: { kind: string; status: string }) => `${one.kind} ${one.status}`)).toEqual([
          "push done",
          "pull_request done",
        ]);
      }
      expect(numbers.sort()).toEqual([1, 2]);
      expect(repository.pulls).toHaveLength(2);
      // Of three, one has reached nobody.
      expect(
        github.requests.filter(({ method, path }) => method === "POST" && path.endsWith("/pulls")),
      ).toHaveLength(2);
      await Promise.all([host.stop(), github.stop(), source.remove()]);
    },
    LONG,
  );
});
