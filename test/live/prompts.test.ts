import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { prompt, session } from "../../src/db/tables.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, mustClaim, PROCESS, seedSession, writerOf } from "../harness/seed.ts";
import { bearer, serveLive } from "./fixture.ts";
import { openReader } from "./reader.ts";

const ALICE = bearer("alice");

describeEachDatabase("each change of a prompt", (database) => {
  const versionOf = async (sessionId: string) => {
    const [row] = await database()
      .orm.select({ version: session.promptsVersion })
      .from(session)
      .where(eq(session.id, sessionId));
    return row?.version ?? 0;
  };

  test("reaches the streams, as a snapshot of its session with a higher promptsVersion", async () => {
    await using server = await serveLive(database());
    const { sessionId, promptIds } = await seedSession(database(), 1);
    const open = async (path: string) => {
      const reader = await openReader(`${server.url}${path}`, { headers: ALICE });
      return async (wanted: number) => {
        for (;;) {
          const { id, promptsVersion } = JSON.parse((await reader.next("session")).data);
          if (id === sessionId && promptsVersion >= wanted) return promptsVersion;
        }
      };
    };
    const streams = await Promise.all([open(`/sessions/${sessionId}/events`), open("/events")]);
    /** @returns how much higher it is after this. */
    const change = async (work: () => Promise<unknown>) => {
      const before = await versionOf(sessionId);
      await work();
      const after = await versionOf(sessionId);
      expect(await Promise.all(streams.map((reaches) => reaches(before + 1)))).toEqual([after, after]);
      return after - before;
    };
    const ask = async (method: string, path: string, body?: object) => {
      const headers = { ...ALICE, "content-type": "application/json" };
      const reply = await fetch(server.url + path, {
        method,
        headers,
        ...(body && { body: JSON.stringify(body) }),
      });
      expect([path, reply.status]).toEqual([path, 200]);
      return (await reply.json()) as { id: string };
    };

    const promptId = String(promptIds[0]);
    let followUp = "";
    const raised: Record<string, number> = {};
    const runs: ClaimedRun[] = [];
    raised["start"] = await change(async () => runs.push(await mustClaim(database(), promptId)));
    const [run] = runs;
    if (!run) throw new Error("nothing was started");
    const writer = writerOf(database().orm, run);
    const isolation = { isolated: true, detail: "in a box" };
    raised["phase and isolation"] = await change(() => writer.recordProcess(PROCESS, { isolation }));
    raised["phase"] = await change(() => writer.markDelivering(PROCESS));
    raised["new prompt"] = await change(async () => {
      followUp = (await ask("POST", "/prompts", { session_id: sessionId, data: "more" })).id;
    });
    raised["text"] = await change(() => ask("PUT", `/prompts/${followUp}`, { data: "less" }));
    raised["end"] = await change(() => writer.finish(COMPLETED));
    raised["cancel"] = await change(() => ask("POST", `/sessions/${sessionId}/cancel`));
    expect(raised).toEqual({
      start: 1,
      "phase and isolation": 1,
      phase: 1,
      "new prompt": 1,
      text: 1,
      end: 1,
      cancel: 1,
    });
  });

  test("is counted once, by one write of the session; messages and leases are not counted", async () => {
    const { orm } = database();
    const { sessionId, promptIds } = await seedSession(database(), 2);
    const promptId = String(promptIds[0]);
    await mustClaim(database(), promptId);
    const writer = writerOf(orm, { promptId, epoch: 1 });
    await writer.recordProcess(PROCESS);
    const counts = async () => {
      const [row] = await orm
        .select({ prompts: session.promptsVersion, writes: session.version })
        .from(session)
        .where(eq(session.id, sessionId));
      return row ?? { prompts: 0, writes: 0 };
    };
    const before = await counts();
    await writer.append(["one"], { from: 0, to: 4 });
    await writer.append(["two", "three"], { from: 4, to: 12 });
    await orm
      .update(prompt)
      .set({ leaseExpiresAt: new Date("2100-01-01") })
      .where(eq(prompt.id, promptId));
    expect((await counts()).prompts).toBe(before.prompts);
    const { writes } = await counts();
    await writer.markDelivering(PROCESS);
    expect(await counts()).toEqual({ prompts: before.prompts + 1, writes: writes + 1 });
    await orm.delete(prompt).where(eq(prompt.id, String(promptIds[1])));
    expect((await counts()).prompts).toBe(before.prompts + 2);
  });
});
