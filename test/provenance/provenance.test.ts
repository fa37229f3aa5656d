import { expect, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { eq } from "drizzle-orm";
import { userOf } from "../../src/auth/claims.ts";
import { provenance } from "../../src/db/safety-tables.ts";
import { prompt } from "../../src/db/tables.ts";
import { openEnvelope } from "../../src/provenance/envelope.ts";
import { openSigningKey } from "../../src/provenance/key.ts";
import { readStatement } from "../../src/provenance/statement.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeRuns, shellAgent } from "../runs/fixture.ts";

const INIT = JSON.stringify({
  type: "system",
  subtype: "init",
  claude_code_version: "2.1.330",
  model: "claude-sonnet-4-5[1m]",
});
const RESULT = JSON.stringify({
  type: "result",
  is_error: false,
  subtype: "success",
  result: "Done.",
  num_turns: 3,
  total_cost_usd: 0.25,
  usage: { input_tokens: 10, output_tokens: 5 },
});
const GIT = "git -c user.name=Agent -c user.email=agent@localhost";
/** Commits once by itself, and leaves something uncommitted. */
const TWO_COMMITS = `echo '${INIT}'; echo 1 > own.txt; git add own.txt; ${GIT} commit -qm own; echo 2 > left.txt; echo '${RESULT}'`;

describeRuns("the provenance of a run", (fixture) => {
  const key = () => openSigningKey(fixture().machine);
  const get = (user: string, path: string, headers?: Record<string, string>) =>
    ask(makeApp({ database: fixture().database }), user, "GET", path, undefined, headers);
  const work = async (script = TWO_COMMITS) => {
    const { submit, run, depsFor } = fixture();
    const submitted = await submit();
    await run(submitted.promptId, depsFor(shellAgent(script)));
    return { ...submitted, path: `/sessions/${submitted.sessionId}/provenance` };
  };
  const factsIn = (envelope: unknown) =>
    readStatement(openEnvelope(JSON.stringify(envelope), createPublicKey(key().publicKey)));

  test("names what was asked, what answered, and the commits, of which the service's own has trailers", async () => {
    const { sessionId, promptId, path } = await work();
    const { status, body } = await get("alice", path);
    expect(status).toBe(200);
    const { branch } = (await fixture().sessionRow(sessionId)) ?? {};
    const git = fixture().repository.git;
    const log = (await git("log", "--format=%H", `main..${branch}`)).trim().split("\n");
    const row = await fixture().promptRow(promptId);
    const facts = factsIn(body);
    expect(facts).toEqual({
      parameters: {
        repository: fixture().repository.path,
        targetBranch: "main",
        branch: String(branch),
        session: sessionId,
        // Of "Do it".
        prompt: { id: promptId, sha256: "8af08d741b31f5a2192f16914c5cfa109072a010c0e8206bf3d55e134f82f1a8" },
        requestedBy: { id: "alice" },
      },
      agent: { name: "command", version: "2.1.330", model: "claude-sonnet-4-5[1m]" },
      builder: { id: `urn:prompt-backend:${key().id}`, version: "0" },
      metadata: {
        invocationId: `${promptId}/${row.leaseEpoch}`,
        startedOn: row.startedAt?.toISOString() ?? "",
        finishedOn: expect.any(String) as unknown as string,
      },
      start: (await git("rev-parse", "main")).trim(),
      commits: log,
      usage: expect.objectContaining({
        commits: 2,
        reported_turns: 3,
        reported_cost_usd: 0.25,
      }) as unknown as Record<string, number>,
    });
    expect(log).toHaveLength(2);
    const trailers = async (commit = "") =>
      (await git("log", "-1", "--format=%(trailers:only,unfold)", commit)).trim().split("\n");
    expect(await trailers(log[0])).toEqual([
      `Session: ${sessionId}`,
      `Prompt: ${promptId}`,
      "Agent: command/2.1.330",
    ]);
    expect(await trailers(log[1])).toEqual([""]);
  });

  test("trailers stay, whatever the agent has told git about messages", async () => {
    const told = "git config commit.cleanup strip; git config core.commentChar S";
    const { sessionId } = await work(`${told}; echo x > x.txt`);
    const { branch } = (await fixture().sessionRow(sessionId)) ?? {};
    const message = await fixture().repository.git("log", "-1", "--format=%B", String(branch));
    expect(message).toContain(`\nSession: ${sessionId}\n`);
  });

  test("is signed at the end of the run: the reply is what was kept, for its owner alone", async () => {
    const { promptId, path } = await work();
    const { orm } = fixture().database;
    const [kept] = await orm.select().from(provenance).where(eq(provenance.promptId, promptId));
    expect(kept?.keyId).toBe(key().id);
    const { body, headers } = await get("alice", path);
    expect(JSON.stringify(body)).toBe(kept?.envelope ?? "");
    // Whatever the database says later.
    await orm
      .update(prompt)
      .set({ data: "Another", commit: "0".repeat(40) })
      .where(eq(prompt.id, promptId));
    expect((await get("alice", path)).body).toEqual(body);
    const etag = String(headers.get("etag"));
    expect((await get("alice", path, { "if-none-match": etag })).status).toBe(304);
    expect((await get("bob", path)).body.code).toBe("session_not_found");
    expect((await get("bob", `${path}?prompt_id=${promptId}`)).body.code).toBe("session_not_found");
  });

  test("of the last run with commits, or of the one that is asked for", async () => {
    const { sessionId, promptId, path } = await work();
    const followUp = async (data: string, script: string) => {
      const sent = await ask(makeApp({ database: fixture().database }), "alice", "POST", "/prompts", {
        session_id: sessionId,
        data,
      });
      await fixture().run(sent.body.id, fixture().depsFor(shellAgent(script)));
      return sent.body.id as string;
    };
    const second = await followUp("Go on", "echo more > more.txt");
    const third = await followUp("Explain it", "echo nothing to do");
    const last = factsIn((await get("alice", path)).body);
    expect(last.parameters.prompt.id).toBe(second);
    expect(last.commits).toHaveLength(1);
    expect(last.agent).toEqual({ name: "command" });
    const first = factsIn((await get("alice", `${path}?prompt_id=${promptId}`)).body);
    // What it began with is not its own.
    expect(last.start).toBe(first.commits[0] ?? "");
    expect((await get("alice", `${path}?prompt_id=${third}`)).body).toMatchObject({
      code: "provenance_not_found",
      msg: expect.stringContaining("made no commits"),
    });
    const other = await work("true");
    expect((await get("alice", `${path}?prompt_id=${other.promptId}`)).body.code).toBe("prompt_not_found");
    expect((await get("alice", other.path)).body).toMatchObject({
      code: "provenance_not_found",
      msg: expect.stringContaining("No run of this session"),
    });
  });

  test("there is none while the run goes on", async () => {
    const { sessionId, promptId } = await fixture().submit();
    const path = `/sessions/${sessionId}/provenance`;
    const { status, body } = await get("alice", `${path}?prompt_id=${promptId}`);
    expect([status, body.code]).toEqual([409, "prompt_unfinished"]);
    expect((await get("alice", path)).status).toBe(404);
  });

  test("who asked is named in commits and provenance, and shown to nobody by the API", async () => {
    const claims = {
      sub: "alice",
      exp: Date.now() / 1000 + 60,
      name: "Alice Example",
      email: "alice@example.com",
    };
    const verifier = { verify: async () => userOf(claims), isTrusted: async () => true };
    const env = { LOCAL_REPOSITORIES: fixture().repository.path };
    const app = makeApp({ database: fixture().database, verifier, env });
    const created = await ask(app, "alice", "POST", "/sessions/with-prompt", {
      repo: fixture().repository.path,
      target_branch: "main",
      messages: "Do it",
    });
    expect(created.status).toBe(200);
    const { sessionId, promptId } = created.body;
    await fixture().run(promptId, fixture().depsFor(shellAgent("echo x > x.txt")));
    const { branch } = (await fixture().sessionRow(sessionId)) ?? {};
    const message = await fixture().repository.git("log", "-1", "--format=%B", String(branch));
    expect(message).toContain("\nCo-authored-by: Alice Example <alice@example.com>\n");
    const facts = factsIn((await ask(app, "alice", "GET", `/sessions/${sessionId}/provenance`)).body);
    expect(facts.parameters.requestedBy).toEqual({
      id: "alice",
      name: "Alice Example",
      email: "alice@example.com",
    });
    const shown = [`/sessions/${sessionId}`, `/prompts/${promptId}`, `/sessions/${sessionId}/prompts`];
    for (const path of shown)
      expect(JSON.stringify((await ask(app, "alice", "GET", path)).body)).not.toContain("alice@example.com");
  });

  test("the public key needs no token", async () => {
    const app = makeApp({ publicKey: () => key().publicKey });
    const reply = await app.handle(new Request("http://localhost/provenance/key"));
    expect(reply.headers.get("content-type")).toStartWith("text/plain");
    expect(await reply.text()).toBe(key().publicKey);
    expect(reply.headers.get("etag")).toStartWith("W/");
    // A server beside which nothing signs must not answer with a key of its own.
    const { status, body } = await ask(makeApp(), undefined, "GET", "/provenance/key");
    expect([status, body.code]).toEqual([404, "provenance_key_not_found"]);
  });
});
