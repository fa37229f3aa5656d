import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDeployment, runProgram, startBackend } from "../harness/backend.ts";
import { makeRepository } from "../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const LONG = 60_000;

describe("operator mistakes: one clear message and an exit code", () => {
  test("invalid variables are reported together", async () => {
    const env = {
      PORT: "eighty",
      DATABASE_URL: "mysql://x",
      WORKER_CONCURRENCY: "0",
      AGENT: "gpt",
      ANTHROPIC_API_KEY: "sk-secret with space",
    };
    const { code, stderr } = await runProgram([], { env, cwd: tmpdir() });
    expect(code).toBe(1);
    for (const name of Object.keys(env)) expect(stderr).toContain(`  ${name}: `);
    expect(stderr).not.toContain("sk-secret");
    expect(stderr.split("\n")).toHaveLength(7);
  });

  test("an unknown task", async () => {
    const { code, stderr } = await runProgram(["--bg-tasks", "nonsense"], { cwd: tmpdir() });
    expect({ code, lines: stderr.split("\n").length }).toEqual({ code: 2, lines: 1 });
    expect(stderr).toContain('unknown task "nonsense"; valid: ip-return-poller, ');
  });

  test(
    "an unreachable database, an unreachable Redis",
    async () => {
      await using deployment = await createDeployment("embedded");
      const env = { ...deployment.env, DATABASE_URL: "postgres://me:hunter22@127.0.0.1:1/x" };
      const database = await runProgram(["server"], { env, cwd: deployment.folder });
      expect(database).toMatchObject({
        code: 1,
        stderr:
          "prompt-backend: Cannot use the database of DATABASE_URL (127.0.0.1:1/x): connection refused. Is PostgreSQL running, and is the port right?",
      });
      const queue = await runProgram([], {
        env: { ...deployment.env, REDIS_URL: "redis://127.0.0.1:1" },
        cwd: deployment.folder,
      });
      expect(queue.code).toBe(1);
      expect(queue.stderr).toMatch(
        /^prompt-backend: Cannot use the queue of REDIS_URL \(127\.0\.0\.1:1\): .*ECONNREFUSED/m,
      );
    },
    LONG,
  );

  test(
    "a port in use, a DATA_DIR in use",
    async () => {
      await using deployment = await createDeployment("embedded");
      await using other = await createDeployment("embedded");
      await using backend = await startBackend(deployment);
      const port = new URL(backend.url).port;
      const taken = await runProgram([], {
        env: { ...other.env, PORT: port, LOG_LEVEL: "silent" },
        cwd: other.folder,
      });
      expect(taken.code).toBe(1);
      expect(taken.stderr).toMatch(new RegExp(`prompt-backend: .*${port}.*in use`));
      const second = await runProgram([], { env: deployment.env, cwd: deployment.folder });
      expect(second.code).toBe(1);
      expect(second.stderr).toMatch(/^prompt-backend: DATA_DIR .* is in use by another process/);
    },
    LONG,
  );

  test("a publicly reachable server does not start without an issuer", async () => {
    await using deployment = await createDeployment("embedded");
    const { AUTH_MODE: _, ...env } = deployment.env;
    const open = await runProgram([], { env: { ...env, HOST: "0.0.0.0" }, cwd: deployment.folder });
    expect(open).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("KEYCLOAK_ISSUER: is required when listening on 0.0.0.0"),
    });
    const none = await runProgram([], {
      env: { ...env, HOST: "0.0.0.0", AUTH_MODE: "none" },
      cwd: deployment.folder,
    });
    expect(none).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("AUTH_MODE: none disables authentication"),
    });
  });
});

test(
  "user mistakes: a clear response or a reviewable session, and no leftovers",
  async () => {
    await using deployment = await createDeployment("embedded");
    await using backend = await startBackend(deployment, {
      env: { AGENT: "command", AGENT_COMMAND: '["no-such-agent-here"]' },
    });
    const repository = await makeRepository();
    const create = (repo: string, target_branch: string) =>
      backend.request("POST", "/sessions/with-prompt", { repo, target_branch, messages: [{ content: "x" }] });

    for (const repo of [
      "--upload-pack=touch /tmp/x",
      "ext::sh -c id",
      "a/b/c/../../..",
      "git@github.com:o/n.git",
      "https://user:pw@github.com/o/n",
      "",
    ]) {
      const { status, body } = await create(repo, "main");
      expect({ repo, status, err: body.err }).toEqual({ repo, status: 422, err: "invalid" });
      expect(JSON.stringify(body)).not.toContain("pw@");
    }
    for (const branch of ["-x", "a..b", "a b", "x.lock", "a@{b", "/", ""]) {
      const { status } = await create(repository.path, branch);
      expect({ branch, status }).toEqual({ branch, status: 422 });
    }

    const lastWords = async (repo: string, targetBranch: string) => {
      const { body } = await create(repo, targetBranch);
      const session = await backend.waitForStatus(body.sessionId, "NeedsReviewIpReturned");
      expect(session).toMatchObject({ inboxStatus: "Failed", sessionStatus: "Active" });
      const last = (await backend.messages(body.promptId)).at(-1);
      expect(last?.data).toMatchObject({
        type: "assistant",
        uuid: expect.any(String),
        message: { role: "assistant" },
      });
      return last?.data.message.content[0].text as string;
    };
    expect(await lastWords(join(deployment.folder, "nowhere"), "main")).toMatch(/nowhere/);
    expect(await lastWords(repository.path, "no-such-branch")).toMatch(/no-such-branch.*main/s);
    expect(await lastWords(repository.path, "main")).toMatch(/no-such-agent-here/);

    expect(await readdir(join(deployment.dataDir, "sandboxes"))).toEqual([]);
    const { stdout } = Bun.spawnSync({ cmd: ["ps", "-eo", "args"] });
    expect(stdout.toString()).not.toContain(join(deployment.dataDir, "sandboxes"));
    await repository.remove();
  },
  LONG,
);
