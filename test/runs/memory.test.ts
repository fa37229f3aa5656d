import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { eq, sql } from "drizzle-orm";
import { agentMemory, sessionChunk } from "../../src/db/memory-tables.ts";
import { createMemoryKeeper } from "../../src/memory/memory.ts";
import { purgeOldMemory } from "../../src/memory/purge-store.ts";
import { describeRuns, shellAgent } from "./fixture.ts";
import { REMEMBER, remembering, twoMachines } from "./two-machines.ts";

describeRuns("memory", (fixture) => {
  const { runOn, followUp, twoPrompts } = twoMachines(fixture);

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
      "in too many files",
      `${REMEMBER}; cd "$AGENT_STATE_DIR" && seq -f memory-%g 2500 | xargs touch`,
      "cold",
      "too many files",
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

  test("attack: what was refused of a program that cannot be told the conversation is not called resumed", async () => {
    const { second } = await twoPrompts(
      remembering(`${REMEMBER}; truncate -s 100M "$AGENT_STATE_DIR/memory.txt"`, { replays: false }),
    );
    const run = await runOn("there", second, remembering(REMEMBER, { replays: false }));
    expect(run).toMatchObject({ status: "Completed", memory: "cold" });
  });

  test("what another agent remembers is not given to this one, which gets the conversation", async () => {
    const { second } = await twoPrompts();
    const run = await runOn("there", second, { ...remembering(), name: "claude" });
    expect(run).toMatchObject({ status: "Completed", memory: "replayed" });
    expect(run.reason).toContain("Another agent");
    expect(run.said).toContain("Do it");
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
    expect((await purgeOldMemory(orm, { days: 30 })).removed).toBeGreaterThanOrEqual(1);
    const left = await orm.select().from(agentMemory).where(eq(agentMemory.sessionId, sessionId));
    expect(left.map(({ promptId }) => promptId)).toEqual([second]);
    expect(await count()).toBeLessThan(before);
    await rm(join(fixture().machine.dataDir, "conversations", sessionId), { recursive: true });
    const { id: third } = await followUp(sessionId, "the third");
    expect((await runOn("there", third, remembering())).memory).toBe("resumed");
  });
});
