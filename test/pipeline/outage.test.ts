import { expect, test } from "bun:test";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { type Combination, createDeployment, startBackend, startWorker } from "../harness/backend.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { startGitServer } from "../sandboxes/git/git-server.ts";

const TOKEN = "ghp_outage_0123456789";
const LONG = 180_000;
const LONG_WAIT_MS = 30_000;

/** A git host that answers 503 while it is away. */
function startGitHost(root: string) {
  const server = startGitServer({ root, password: TOKEN });
  const host = { away: true, asked: 0 };
  const front = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      host.asked += 1;
      if (host.away) return new Response("maintenance", { status: 503 });
      const { pathname, search } = new URL(request.url);
      const body = request.method === "POST" ? await request.arrayBuffer() : null;
      return fetch(`${server.url}${pathname}${search}`, {
        method: request.method,
        headers: request.headers,
        body,
      });
    },
  });
  return {
    host,
    url: `http://127.0.0.1:${front.port}`,
    stop: () => Promise.all([front.stop(true), server.stop()]),
  };
}

// "redis": jobs in BullMQ on Redis; "embedded" and "postgres": in the database.
for (const combination of ["embedded", "postgres", "redis"] as const satisfies Combination[]) {
  const services =
    combination === "embedded" ? [] : combination === "redis" ? ["postgres", "redis"] : ["postgres"];
  describeWith(services as ("postgres" | "redis")[], `an outage of the git host (${combination})`, () => {
    test(
      "is waited for, visibly, across kill -9; a retry asked for is made at once, by whatever process",
      async () => {
        await using deployment = await createDeployment(combination);
        const repository = await makeRepository();
        const root = join(deployment.folder, "host");
        await cp(join(repository.path, ".git"), join(root, "owner/name.git"), { recursive: true });
        const git = startGitHost(root);
        const env = {
          GITHUB_URL: git.url,
          GITHUB_TOKEN: TOKEN,
          PRIVATE_GIT_HOSTS: "127.0.0.1",
          AGENT: "command",
          AGENT_COMMAND: JSON.stringify(["sh", "-c", "echo work > work.txt"]),
        };
        const waits = (backend: Awaited<ReturnType<typeof startBackend>>, sessionId: string) =>
          until(
            async () => {
              const session = await backend.session(sessionId);
              return session.waitingFor === "git_host" && session;
            },
            { what: "the session to wait for the git host", timeoutMs: 60_000 },
          );
        const first = await startBackend(deployment, { env });
        const { sessionId, promptId } = await first.submit("owner/name", "Work.");
        const session = await waits(first, sessionId);
        expect(session.uiStatus).toBe("Pending");
        expect(session.waitingReason).toMatch(
          /^The host of \S+owner\/name is not available \(.*503.*Tried once, at \d\d:\d\d; next attempt at \d\d:\d\d UTC\.$/,
        );
        const { prompt } = (await first.request("GET", `/prompts/${promptId}`)).body;
        // Bun replaces what it compares with `expect.any`.
        const since: string = prompt.waiting_since;
        expect(prompt).toMatchObject({
          ...{ status: "Queued", attempt: 0, waiting_for: "git_host", waiting_reason: session.waitingReason },
          ...{ waiting_since: expect.any(String), next_attempt_at: expect.any(String) },
        });
        const metrics = await (await fetch(`${first.url}/metrics`)).text();
        expect(metrics).toContain('prompt_backend_prompts_waiting{for="git_host"} 1');
        expect(JSON.stringify([session, prompt, first.process.lines])).not.toContain(TOKEN);
        first.process.kill("SIGKILL");
        await first.process.exit;

        // With a database of its own, another process than the one that is asked runs the prompts.
        const separate = combination !== "embedded";
        await using backend = await startBackend(deployment, { env, ...(separate && { args: ["server"] }) });
        await using _worker = separate ? await startWorker(deployment, ["bg-tasks"], env) : null;
        const read = async () => (await backend.request("GET", `/prompts/${promptId}`)).body.prompt;
        const triedOf = (now: { waiting_reason: string | null }) =>
          Number(/ Tried (\d+) times since /.exec(now.waiting_reason ?? "")?.[1]);
        /** The prompt once it waits for so long that an attempt before that was not made at its time: each one doubles the wait. */
        const waitsLong = () =>
          until(
            async () => {
              const now = await read();
              if (now.waiting_for && Date.parse(now.next_attempt_at) - Date.now() > LONG_WAIT_MS) return now;
              await backend.request("POST", `/prompts/${promptId}/retry`);
              return false;
            },
            { what: "the prompt to wait for long", timeoutMs: 90_000, everyMs: 200 },
          );
        const retried = async () => {
          const { status, body } = await backend.request("POST", `/prompts/${promptId}/retry`);
          expect([status, body]).toEqual([200, { success: true, message: "Wait ended" }]);
        };
        const waiting = await waitsLong();
        expect(waiting.waiting_since).toBe(since);
        // Too early: it waits on, in the same series.
        await retried();
        const still = await until(
          async () => {
            const now = await read();
            return triedOf(now) > triedOf(waiting) && now;
          },
          { what: "another failure", timeoutMs: 90_000 },
        );
        expect(Date.now()).toBeLessThan(Date.parse(waiting.next_attempt_at));
        expect(still).toMatchObject({ waiting_since: since, attempt: 0 });
        git.host.away = false;
        await retried();
        const done = await backend.waitForStatus(sessionId, "NeedsReviewIpReturned", 60_000);
        expect(Date.parse((await read()).finished_at)).toBeLessThan(Date.parse(still.next_attempt_at));
        expect(done).toMatchObject({
          inboxStatus: "Completed",
          waitingFor: null,
          waitingReason: null,
          nextAttemptAt: null,
        });
        const show = await Bun.$`git -C ${join(root, "owner/name.git")} show ${done.branch}:work.txt`.text();
        expect(show).toBe("work\n");
        expect((await backend.request("GET", "/dead-letter-queue")).body.entries).toEqual([]);
        await git.stop();
        await repository.remove();
      },
      LONG,
    );
  });
}
