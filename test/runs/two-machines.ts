import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { asc, eq } from "drizzle-orm";
import type { Agent } from "../../src/agents/agent.ts";
import { message } from "../../src/db/tables.ts";
import { createMemoryKeeper } from "../../src/memory/memory.ts";
import { addPrompt, addPush } from "../../src/prompts/create-store.ts";
import { type RunnerDeps, runClaimed } from "../../src/runs/runner.ts";
import { heldSandboxes } from "../../src/sandboxes/store.ts";
import { mustClaim } from "../harness/seed.ts";
import { openSandboxFixture, type SandboxFixture } from "../sandboxes/fixture.ts";
import { never, type RunFixture, shellAgent } from "./fixture.ts";

/** Remembers all that it is told, prints it, and adds a line to work.txt with how often it was told something. */
const FILE = '"$AGENT_STATE_DIR/memory.txt"';
export const REMEMBER = `cat >> ${FILE}; echo >> ${FILE}; cat ${FILE}; wc -l < ${FILE} >> work.txt`;

export const remembering = (script = REMEMBER, more: Partial<Agent> = {}): Agent =>
  shellAgent(script, {
    replays: true,
    keeps: (path) => path.startsWith("memory"),
    hasTranscript: async (state) => existsSync(join(state, "memory.txt")),
    ...more,
  });

/** A second machine beside the fixture's own, with a DATA_DIR of its own, on the same database. */
export function twoMachines(fixture: () => RunFixture) {
  let other: SandboxFixture;
  beforeAll(async () => {
    other = await openSandboxFixture();
  });
  afterAll(() => other.remove());
  const wanted = { userId: "alice", maxUnfinished: 1_000 };

  /** Runs a prompt on one of the two machines. @returns what was said, and what the prompt says of its end and its memory. */
  const runOn = async (
    where: "here" | "there",
    promptId: string,
    agent: Agent,
    {
      maxBytes,
      ...given
    }: { maxBytes?: number } & Partial<Pick<RunnerDeps, "maxUnpushedBytes" | "limits">> = {},
  ) => {
    const { database, leases, machine, depsFor, promptRow } = fixture();
    const sandboxes = where === "here" ? machine.provider : other.provider;
    const claimed = await mustClaim(database, promptId, {
      ...{ owner: leases.owner, ttlMs: 8_000, host: sandboxes.host },
    });
    const more = {
      ...(maxBytes !== undefined && { memory: createMemoryKeeper({ orm: database.orm, maxBytes }) }),
      ...given,
    };
    await runClaimed(depsFor(agent, { sandboxes, ...more }), claimed, never);
    // As the ip-return-poller of each machine does.
    for (const one of [machine.provider, other.provider])
      await one.sweep((ids) => heldSandboxes(database.orm, ids));
    const rows = await database.orm
      .select()
      .from(message)
      .where(eq(message.promptId, promptId))
      .orderBy(asc(message.seq));
    const said = JSON.stringify(rows.map(({ data }) => data));
    const row = await promptRow(promptId);
    return {
      ...{ said, status: row?.status, memory: row?.memory, reason: row?.memoryReason },
      ...{ error: row?.error, commit: row?.commit },
    };
  };

  const followUp = (sessionId: string, text: string) =>
    fixture().database.orm.transaction((tx) =>
      addPrompt(tx, { ...wanted, author: undefined, sessionId, data: text, text, priority: 0 }),
    );

  return {
    runOn,
    followUp,
    push: (sessionId: string) =>
      fixture().database.orm.transaction((tx) => addPush(tx, { ...wanted, sessionId })),
    /** A session with a first prompt that has ended here, and a second one that waits. */
    twoPrompts: async (agent = remembering()) => {
      const { sessionId, promptId } = await fixture().submit();
      const first = await runOn("here", promptId, agent);
      const { id } = await followUp(sessionId, "the second");
      return { sessionId, first: promptId, second: id, firstRun: first };
    },
    /** A session whose branch somebody else has made, so that it may not be pushed, after its first prompt. */
    unpushable: async (limits: { maxUnpushedBytes?: number } = {}) => {
      const { submit, sessionRow, machine } = fixture();
      const { repository } = machine;
      const { sessionId, promptId } = await submit(repository.path);
      const branch = (await sessionRow(sessionId))?.branch ?? "";
      await repository.git("branch", branch, "main");
      const first = await runOn("here", promptId, remembering(), limits);
      expect(first.said).toContain("the next prompt continues from it.");
      return { sessionId, promptId, branch, repository, first };
    },
  };
}
