import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { prompt } from "../../src/db/tables.ts";
import { endAgentWaits } from "../../src/lifecycle/await-agents.ts";
import { runClaimed } from "../../src/runs/runner.ts";
import { workers } from "../fleet/workers.ts";
import { catalogOf } from "../harness/agents.ts";
import { claimRun } from "../harness/seed.ts";
import { describeRuns, never, shellAgent } from "./fixture.ts";
import { remembering, twoMachines } from "./two-machines.ts";

describeRuns("agents of prompts", (fixture) => {
  const { runOn, followUp } = twoMachines(fixture);
  const { begin } = workers(() => fixture().database);
  const set = (id: string, values: Partial<typeof prompt.$inferInsert>) =>
    fixture().database.orm.update(prompt).set(values).where(eq(prompt.id, id));

  test("each of two in a session keeps its own memory, and is told what was said meanwhile", async () => {
    const codex = remembering(undefined, { name: "codex" });
    const gemini = remembering(undefined, { name: "gemini" });
    const { sessionId, promptId } = await fixture().submit();
    await runOn("here", promptId, codex);
    const second = await followUp(sessionId, "the second");
    const other = await runOn("here", second.id, gemini);
    expect(other).toMatchObject({
      ...{ status: "Completed", memory: "replayed" },
      reason: "Another agent, codex, worked on the earlier prompts.",
    });
    expect(other.said).toContain("Do it");
    const third = await followUp(sessionId, "the third");
    const back = await runOn("there", third.id, codex);
    expect(back).toMatchObject({ status: "Completed", memory: "resumed", reason: null });
    expect(back.said).toContain("the second");
  });

  test("a run whose machine lacks its agent waits for one that has it, which is no attempt", async () => {
    const { submit, depsFor, claim, promptRow, textsOf, database } = fixture();
    const { promptId } = await submit();
    const codex = shellAgent('echo "with $AGENT_MODEL, $AGENT_MAX_TURNS turns"', {
      name: "codex",
      limitsTurns: true,
    });
    const chosen = { agent: "codex", model: "m", maxTurns: 3 };
    const claimed = await claim(promptId);
    await runClaimed(depsFor(shellAgent("echo wrong")), { ...claimed, ...chosen }, never);
    await set(promptId, chosen);
    expect(await promptRow(promptId)).toMatchObject({ status: "Queued", waitingFor: "agent", attempt: 0 });
    expect(await claimRun(database.orm, promptId)).toBeUndefined();
    await begin("B", { codex: {} });
    expect(await endAgentWaits(database.orm)).toBe(1);
    // Such as by a machine that has it, in a claim of its own.
    await set(promptId, { agent: null });
    const again = { ...(await claim(promptId)), ...chosen };
    const agents = catalogOf(shellAgent("echo wrong"), codex);
    await runClaimed({ ...depsFor(codex), agents }, again, never);
    expect((await promptRow(promptId)).status).toBe("Completed");
    expect(await textsOf(promptId)).toContain("with m, 3 turns");
  });

  test("one that is asked for a mode that it lacks is not started", async () => {
    const { submit, run, depsFor, promptRow, textsOf } = fixture();
    const { promptId } = await submit();
    await set(promptId, { mode: "ask" });
    await run(promptId, depsFor(shellAgent("echo done without asking")));
    expect(await promptRow(promptId)).toMatchObject({
      ...{ status: "Failed", errorKind: "configuration" },
      error: expect.stringContaining("does not have the mode ask"),
    });
    expect(await textsOf(promptId)).not.toContain("done without asking");
  });

  test("one that cannot be held to a number of turns is not started with a limit of them", async () => {
    const { submit, run, depsFor, promptRow, textsOf } = fixture();
    const { promptId } = await submit();
    await set(promptId, { maxTurns: 3 });
    await run(promptId, depsFor(shellAgent("echo done without counting")));
    expect(await promptRow(promptId)).toMatchObject({
      ...{ status: "Failed", errorKind: "configuration" },
      error: expect.stringContaining("cannot be held to a number of turns"),
    });
    expect(await textsOf(promptId)).not.toContain("done without counting");
  });
});
