import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { asc, eq, sql } from "drizzle-orm";
import type { Agent } from "../../src/agents/agent.ts";
import { agentMemory, sessionChunk, unpushedWork } from "../../src/db/memory-tables.ts";
import { message } from "../../src/db/tables.ts";
import { createMemoryKeeper } from "../../src/memory/memory.ts";
import { purgeOldMemory } from "../../src/memory/purge-store.ts";
import { addPrompt } from "../../src/prompts/create-store.ts";
import { runClaimed } from "../../src/runs/runner.ts";
import { heldSandboxes } from "../../src/sandboxes/store.ts";
import { mustClaim } from "../harness/seed.ts";
import { openSandboxFixture, type SandboxFixture } from "../sandboxes/fixture.ts";
import { describeRuns, never, shellAgent } from "./fixture.ts";

/** Remembers all that it is told, and prints it. */
const FILE = '"$AGENT_STATE_DIR/memory.txt"';
const REMEMBER = `cat >> ${FILE}; echo >> ${FILE}; cat ${FILE}; wc -l < ${FILE} >> work.txt`;

const remembering = (script = REMEMBER, more: Partial<Agent> = {}): Agent =>
  shellAgent(script, {
    replays: true,
    keeps: (path) => path.startsWith("memory"),
    hasTranscript: async (state) => existsSync(join(state, "memory.txt")),
    ...more,
  });

describeRuns("memory", (fixture) => {
  let other: SandboxFixture;
  beforeAll(async () => {
    other = await openSandboxFixture();
  });
  afterAll(() => other.remove());

  const followUp = (sessionId: string, text: string) =>
    fixture().database.orm.transaction((tx) =>
      addPrompt(tx, { userId: "alice", sessionId, data: text, text, priority: 0, maxUnfinished: 1_000 }),
    );
  /** Runs a prompt on one of the two machines. @returns what its agent printed, and what the prompt says of its memory. */
  const runOn = async (where: "here" | "there", promptId: string, agent: Agent, maxBytes?: number) => {
    const { database, leases, machine, depsFor, promptRow } = fixture();
    const sandboxes = where === "here" ? machine.provider : other.provider;
    const claimed = await mustClaim(database, promptId, {
      ...{ owner: leases.owner, ttlMs: 8_000, host: sandboxes.host },
    });
    const more =
      maxBytes === undefined ? {} : { memory: createMemoryKeeper({ orm: database.orm, maxBytes }) };
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
    return { said, status: row?.status, memory: row?.memory, reason: row?.memoryReason };
  };
  const twoPrompts = async (agent = remembering()) => {
    const { sessionId, promptId } = await fixture().submit();
    const first = await runOn("here", promptId, agent);
    expect(first).toMatchObject({ status: "Completed", memory: "fresh", reason: null });
    const { id } = await followUp(sessionId, "the second");
    return { sessionId, first: promptId, second: id };
  };

  test("the agent remembers on another machine, and back on the first one what it was told there", async () => {
    const { sessionId, second } = await twoPrompts();
    const there = await runOn("there", second, remembering());
    expect(there).toMatchObject({ status: "Completed", memory: "resumed", reason: null });
    expect(there.said).toContain("Do it\\nthe second");
    const { id: third } = await followUp(sessionId, "the third");
    const back = await runOn("here", third, remembering());
    expect(back).toMatchObject({ memory: "resumed" });
    expect(back.said).toContain("Do it\\nthe second\\nthe third");
    const { fileOnBranch, sessionRow } = fixture();
    expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("1\n2\n3\n");
  });

  test("what a machine has kept is used only as far as it is what the database says", async () => {
    const { machine, database } = fixture();
    const { sessionId, second } = await twoPrompts();
    const kept = join(machine.dataDir, "conversations", sessionId, "kept/memory.txt");
    await Bun.write(kept, "lies");
    const again = await runOn("here", second, remembering());
    expect(again.memory).toBe("resumed");
    expect(again.said).not.toContain("lies");
    // It costs no query, and a database that lost its pieces is not noticed.
    await database.orm.delete(sessionChunk).where(eq(sessionChunk.sessionId, sessionId));
    const { id: third } = await followUp(sessionId, "the third");
    expect((await runOn("here", third, remembering())).memory).toBe("resumed");
  });

  test.each<[string, (sessionId: string) => Promise<unknown>]>([
    [
      "damaged",
      (id) =>
        fixture()
          .database.orm.update(sessionChunk)
          .set({ data: Buffer.from("no zstd") })
          .where(eq(sessionChunk.sessionId, id)),
    ],
    [
      "exchanged",
      (id) =>
        fixture()
          .database.orm.update(sessionChunk)
          .set({ data: Bun.zstdCompressSync("something else") })
          .where(eq(sessionChunk.sessionId, id)),
    ],
    ["gone", (id) => fixture().database.orm.delete(sessionChunk).where(eq(sessionChunk.sessionId, id))],
  ])(
    "memory whose pieces are %s is replaced by the conversation, and the session says so",
    async (_how, harm) => {
      const { sessionId, second } = await twoPrompts();
      await harm(sessionId);
      const there = await runOn("there", second, remembering());
      expect(there).toMatchObject({ status: "Completed", memory: "replayed" });
      expect(there.reason).toContain("damaged");
      expect(there.said).toContain("The agent has lost its memory of the earlier prompts");
      expect(there.said).toContain('<turn role=\\"user\\">');
      expect(there.said).toContain("Do it");
      // From here on it remembers again.
      const { id: third } = await followUp(sessionId, "the third");
      expect((await runOn("here", third, remembering())).memory).toBe("resumed");
    },
  );

  test("a turn that the memory does not know goes in as text", async () => {
    const { database, depsFor, run } = fixture();
    const { sessionId, second } = await twoPrompts();
    // Its machine dies before the agent's memory is stored.
    const memory = {
      ...createMemoryKeeper({ orm: database.orm, maxBytes: 1 }),
      store: async () => {
        throw new Error("away");
      },
    };
    await run(second, depsFor(remembering(), { memory }));
    const { id: third } = await followUp(sessionId, "the third");
    const told = await runOn("there", third, remembering());
    expect(told).toMatchObject({ memory: "resumed", reason: null });
    expect(told.said).toContain("the second");
    expect(told.said).not.toContain("The agent has lost");
    expect(told.said.match(/the second/g)?.length).toBe(told.said.match(/Do it/g)?.length);
  });

  test.each<[string, string, "cold" | "replayed", string]>([
    [
      "over the limit",
      `${REMEMBER}; truncate -s 100M "$AGENT_STATE_DIR/memory.txt"`,
      "cold",
      "AGENT_MEMORY_MAX_MB",
    ],
    [
      "a link",
      `ln -s /etc/passwd "$AGENT_STATE_DIR/memory.txt"; echo it > work.txt`,
      "replayed",
      "not in regular files",
    ],
    [
      "a FIFO",
      `mkfifo "$AGENT_STATE_DIR/memory.txt"; echo it > work.txt`,
      "replayed",
      "not in regular files",
    ],
  ])(
    "attack: memory that is %s is refused, and the next prompt says so",
    async (_name, script, kind, reason) => {
      const { second } = await twoPrompts(remembering(script));
      const run = await runOn("there", second, remembering());
      expect(run).toMatchObject({ status: "Completed", memory: kind });
      expect(run.reason).toContain(reason);
      expect(run.said).toContain(reason);
    },
  );

  test("an agent that cannot read what it has kept begins again with the conversation", async () => {
    // As Claude Code, which prints a result and has done nothing.
    const script = `if [ -f "$AGENT_STATE_DIR/memory.bad" ]; then echo no conversation; exit 1; fi; ${REMEMBER}`;
    const refusing = remembering(script, {
      discardTranscripts: async (state, _id, which) => {
        if (which === "all") await Bun.$`rm -f ${state}/memory.txt ${state}/memory.bad`;
      },
      reader: () => {
        const { verdict, ...reader } = shellAgent("").reader();
        return {
          ...reader,
          verdict: (exit) => ({ ...verdict(exit), ...(exit.code === 1 && { lostConversation: true }) }),
        };
      },
    });
    const { sessionId, second } = await twoPrompts(
      remembering(`${REMEMBER}; touch "$AGENT_STATE_DIR/memory.bad"`),
    );
    const run = await runOn("there", second, refusing);
    expect(run).toMatchObject({ status: "Completed", memory: "replayed" });
    expect(run.reason).toContain("could not read");
    expect(run.said).toContain("Do it");
    const { id: third } = await followUp(sessionId, "the third");
    expect(await runOn("here", third, refusing)).toMatchObject({ status: "Completed", memory: "resumed" });
  });

  test("work that may not be pushed goes on on another machine, in both directions, and a push ends its keeping", async () => {
    const { database, submit, sessionRow, machine } = fixture();
    const { repository } = machine;
    const { sessionId, promptId } = await submit(repository.path);
    const branch = (await sessionRow(sessionId))?.branch ?? "";
    // Somebody else's: the session may not touch it.
    await repository.git("branch", branch, "main");
    const rows = () => database.orm.select().from(unpushedWork).where(eq(unpushedWork.sessionId, sessionId));
    const first = await runOn("here", promptId, remembering());
    expect(first.said).toContain("The work is kept, and the next prompt continues from it.");
    const [kept] = await rows();
    const { id: second } = await followUp(sessionId, "the second");
    const there = await runOn("there", second, remembering());
    expect(there.said).toContain("(2 commits");
    const { id: third } = await followUp(sessionId, "the third");
    const back = await runOn("here", third, remembering());
    expect(back.said).toContain("(3 commits");
    const [last] = await rows();
    expect(last?.commit).not.toBe(kept?.commit);
    // Only the newest bundle is kept.
    const pieces = await database.orm
      .select()
      .from(sessionChunk)
      .where(eq(sessionChunk.sessionId, sessionId));
    const remembered = await database.orm
      .select()
      .from(agentMemory)
      .where(eq(agentMemory.sessionId, sessionId));
    const named = new Set([
      ...(last?.bundle.chunks ?? []),
      ...remembered.flatMap(({ files }) => files.flatMap(({ chunks }) => chunks)),
    ]);
    expect(pieces.filter(({ hash }) => !named.has(hash))).toEqual([]);
    await repository.git("branch", "-D", branch);
    const { id: fourth } = await followUp(sessionId, "the fourth");
    const pushed = await runOn("there", fourth, remembering());
    expect(pushed.said).toContain("(4 commits");
    expect(await repository.git("show", `${branch}:work.txt`)).toBe("1\n2\n3\n4\n");
    expect(await rows()).toEqual([]);
  });

  test("a program without memory of its own gets exactly its prompt", async () => {
    const { second } = await twoPrompts(shellAgent("cat > work.txt; cat work.txt"));
    const run = await runOn("there", second, shellAgent("cat > work2.txt; cat work2.txt"));
    expect(run).toMatchObject({ memory: "cold" });
    expect(run.said).toContain('"the second"');
    expect(run.said).not.toContain("memory");
  });

  test("the first prompt's second attempt does not remember the first", async () => {
    const { submit, promptRow, skipBackoff } = fixture();
    const { promptId } = await submit();
    let intact = false;
    const agent = remembering();
    const { run, machine, depsFor } = fixture();
    const sandboxes = {
      ...machine.provider,
      open: async (...args: Parameters<typeof machine.provider.open>) => ({
        ...(await machine.provider.open(...args)),
        // The disk has lost the work after memory was kept.
        deliverWork: async () => {
          throw Object.assign(new Error("lost"), { code: "ENOSPC" });
        },
        intact: async () => {
          intact = !intact;
          return intact;
        },
      }),
    };
    await run(promptId, depsFor(agent, { sandboxes }));
    expect((await promptRow(promptId))?.status).toBe("Queued");
    await skipBackoff(promptId);
    const again = await runOn("here", promptId, agent);
    expect(again).toMatchObject({ status: "Completed", memory: "fresh" });
  });

  test("older memory is purged with the pieces that only it has; the newest stays", async () => {
    const { database } = fixture();
    const { orm } = database;
    const large = 'head -c 300000 /dev/urandom | base64 > "$AGENT_STATE_DIR/memory.bin"';
    const { sessionId, second } = await twoPrompts(remembering(`${REMEMBER}; ${large}`));
    await runOn("here", second, remembering(`${REMEMBER}; ${large}`));
    const count = async () =>
      (await orm.select().from(sessionChunk).where(eq(sessionChunk.sessionId, sessionId))).length;
    const before = await count();
    const past = sql`now() - interval '40 days'`;
    await orm
      .update(agentMemory)
      .set({ storedAt: sql`stored_at - interval '40 days'` })
      .where(eq(agentMemory.sessionId, sessionId));
    await orm.update(sessionChunk).set({ usedAt: past }).where(eq(sessionChunk.sessionId, sessionId));
    expect(await purgeOldMemory(orm, 30)).toBeGreaterThanOrEqual(1);
    const left = await orm.select().from(agentMemory).where(eq(agentMemory.sessionId, sessionId));
    expect(left.map(({ promptId }) => promptId)).toEqual([second]);
    expect(await count()).toBeLessThan(before);
    await rm(join(fixture().machine.dataDir, "conversations", sessionId), { recursive: true });
    const { id: third } = await followUp(sessionId, "the third");
    expect((await runOn("there", third, remembering())).memory).toBe("resumed");
  });
});
