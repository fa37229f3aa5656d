import { expect, test } from "bun:test";
import { and, eq, ne, sql } from "drizzle-orm";
import type { Agent, AgentVerdict } from "../../src/agents/agent.ts";
import { prompt } from "../../src/db/tables.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { idleSandboxes } from "../../src/sandboxes/store.ts";
import { Secret } from "../../src/shared/secret.ts";
import { asking, askModel } from "./asking-agent.ts";
import { describeRuns, shellAgent } from "./fixture.ts";

/** A model that fails in this way until it is told to answer. */
function startModel(failure: ResponseInit) {
  let answers = false;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch({ url }) {
      if (!answers || url.endsWith("?fail")) return new Response("no", failure);
      // Its end never comes.
      if (url.endsWith("?slow")) return new Response(new ReadableStream({ start: (to) => to.enqueue("{") }));
      return Response.json({});
    },
  });
  return {
    model: {
      anthropic: { upstream: `http://127.0.0.1:${server.port}`, apiKey: new Secret("sk-test") },
      ...{ openai: undefined, google: undefined },
    },
    answer() {
      answers = true;
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** A shell command that asks the model, and fails if it does not answer. */
const ASK = askModel(1);

describeRuns("a model that does not answer", (fixture) => {
  test.each([
    [429, { "retry-after": "1800" }, 1_800_000],
    [529, {}, 5_000],
    [500, {}, 5_000],
  ])(
    "a model that answers %p is waited for, and so is what it asks for",
    async (status, headers, delayMs) => {
      const { depsFor, submit, run, promptRow, sessionRow, skipBackoff, fileOnBranch } = fixture();
      await using host = startModel({ status, headers });
      const agent = shellAgent(`echo begun; ${ASK} && echo work > work.txt`);
      const deps = depsFor(asking(agent), { model: host.model });
      const { sessionId, promptId } = await submit();
      for (let tries = 1; tries <= 6; tries += 1) {
        await run(promptId, deps);
        const row = await promptRow(promptId);
        expect(row).toMatchObject({ status: "Queued", waitingFor: "model", attempt: 0, outage: { tries } });
        expect(row.error).toContain(`The model's API is not available (it answered with status ${status}).`);
        const waits = (row.notBefore?.getTime() ?? 0) - row.updatedAt.getTime();
        if (tries === 1) expect(Math.abs(waits - delayMs)).toBeLessThan(delayMs / 2 + 100);
        await skipBackoff(promptId);
      }
      host.answer();
      await run(promptId, deps);
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", outage: null });
      expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("work\n");
    },
  );

  test("an agent that had begun when the model stopped answering goes on in its sandbox, with its conversation", async () => {
    const { database, machine, depsFor, submit, run, promptRow, sessionRow, skipBackoff, fileOnBranch } =
      fixture();
    await using upstream = startModel({ status: 529 });
    const { model } = upstream;
    const plain = asking(shellAgent(`echo step >> work.txt; ${ASK}`));
    const resumed: boolean[] = [];
    const agent: Agent = {
      ...plain,
      hasTranscript: async () => resumed.length > 0,
      command(request) {
        resumed.push(request.resume);
        return plain.command(request);
      },
      reader: () => {
        const reader = plain.reader();
        return {
          ...reader,
          verdict: (exit) =>
            ({ ...reader.verdict(exit), ...(exit.code !== 0 && { worked: true }) }) as AgentVerdict,
        };
      },
    };
    const { promptId, sessionId } = await submit();
    await run(promptId, depsFor(agent, { model }));
    const parked = await promptRow(promptId);
    expect(parked).toMatchObject({ status: "Running", leaseOwner: "detached", waitingFor: "model" });
    expect(await idleSandboxes(database.orm)).not.toContainEqual(expect.objectContaining({ sessionId }));
    // Nobody's slot is taken: with a limit of one running prompt, another one starts.
    const other = await submit();
    const host = machine.provider.host;
    const one = { owner: "other", host, ttlMs: 60_000, maxRunning: 1, maxRunningPerUser: 1 };
    const rest = and(ne(prompt.id, other.promptId), eq(prompt.status, "Queued"));
    await database.orm.update(prompt).set({ notBefore: sql`now() + interval '1 hour'` }).where(rest);
    expect(await claimNext(database.orm, one)).toMatchObject({ promptId: other.promptId });
    upstream.answer();
    await skipBackoff(promptId);
    await run(promptId, depsFor(agent, { model }));
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1, outage: null });
    expect(resumed).toEqual([false, true]);
    expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("step\nstep\n");
  });

  test("an agent that says it is done although the model has answered nothing is not", async () => {
    const { depsFor, submit, run, promptRow, skipBackoff } = fixture();
    await using host = startModel({ status: 529 });
    // Cause: Codex prints the error, ends its turn and exits well, so that a prompt of an outage was Completed.
    const polite = depsFor(asking(shellAgent(`${ASK}; exit 0`)), { model: host.model });
    const { promptId } = await submit();
    await run(promptId, polite);
    expect(await promptRow(promptId)).toMatchObject({ status: "Queued", waitingFor: "model", attempt: 0 });
    host.answer();
    await skipBackoff(promptId);
    await run(promptId, polite);
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed", outage: null });
  });

  test("of an agent that was answered and says it is done, a last call that failed says nothing", async () => {
    const { depsFor, submit, run, promptRow, skipBackoff } = fixture();
    await using host = startModel({ status: 529 });
    host.answer();
    const failing = ASK.replace("/messages", "/messages?fail");
    // Codex goes away as soon as it has what it needs of an answer.
    const leaving = ASK.replace("curl", "curl --max-time 0.5").replace("/messages", "/messages?slow");
    for (const answered of [ASK, leaving]) {
      const { promptId } = await submit();
      const worked = shellAgent(`${answered}; ${failing}; exit 0`);
      await run(promptId, depsFor(asking(worked), { model: host.model }));
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
      await skipBackoff(promptId);
    }
  });

  test("a wrong key for the model is nothing to wait for", async () => {
    const { depsFor, submit, run, promptRow } = fixture();
    const { promptId } = await submit();
    const reader = () => ({
      ...shellAgent("true").reader(),
      verdict: () => ({ ok: false, reason: "No.", summary: "", usage: {}, modelFailed: true }) as const,
    });
    await run(promptId, depsFor(shellAgent("true", { reader })));
    expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "agent" });
  });
});
