import { expect, test } from "bun:test";
import { revivePrompts } from "../../src/lifecycle/revive.ts";
import type { PromptDto } from "../../src/prompts/model.ts";
import { clientOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, EXPIRED_MS, FAILURE, mustClaim, PROCESS, seedPrompt, writerOf } from "../harness/seed.ts";

const ISOLATION = { isolated: true, detail: "agents run under bubblewrap" };

describeEachDatabase("the phases of a prompt", (database) => {
  const { send, create } = clientOf(database);
  const read = async (id: string): Promise<PromptDto> => (await send("GET", `/prompts/${id}`)).body.prompt;
  const names = async (id: string) => (await read(id)).phases.map(({ name }) => name);

  test("follow the run, each with its beginning, and change the ETag", async () => {
    const { promptId } = await create();
    const tags = new Set<string | null>();
    const phasesNow = async () => {
      const { body, headers } = await send("GET", `/prompts/${promptId}`);
      tags.add(headers.get("etag"));
      return body.prompt.phases.map(({ name }: { name: string }) => name);
    };
    expect(await phasesNow()).toEqual(["queued"]);
    const writer = writerOf(database().orm, await mustClaim(database(), promptId));
    expect(await phasesNow()).toEqual(["queued", "preparing"]);
    expect((await read(promptId)).isolation).toBeNull();
    await writer.recordProcess(PROCESS, { isolation: ISOLATION });
    expect(await phasesNow()).toEqual(["queued", "preparing", "working"]);
    await writer.markDelivering(PROCESS);
    expect(await phasesNow()).toEqual(["queued", "preparing", "working", "delivering"]);
    await writer.finish(COMPLETED);
    expect(await phasesNow()).toEqual(["queued", "preparing", "working", "delivering", "finished"]);
    expect(tags.size).toBe(5);

    const { phases, isolation, created_at, started_at, finished_at } = await read(promptId);
    expect(isolation).toEqual(ISOLATION);
    const starts = phases.map((phase) => phase.started_at);
    expect(starts).toEqual([...starts].sort());
    expect([starts[0], starts[1], starts[4]]).toEqual([created_at, started_at, finished_at] as string[]);
  });

  test("an agent that is started again in its run goes on working", async () => {
    const { promptId } = await seedPrompt(database());
    const writer = writerOf(database().orm, await mustClaim(database(), promptId));
    await writer.recordProcess(PROCESS);
    const { phases } = await read(promptId);
    await writer.recordProcess({ ...PROCESS, pid: 2 });
    expect((await read(promptId)).phases).toEqual(phases);
  });

  test("a run that is tried again begins anew, and knows nothing of its next sandbox", async () => {
    const { promptId } = await seedPrompt(database());
    const writer = writerOf(database().orm, await mustClaim(database(), promptId));
    await writer.recordProcess(PROCESS, { isolation: ISOLATION });
    await writer.retry({ delayMs: 0, failure: FAILURE });
    expect(await names(promptId)).toEqual(["queued"]);
    await mustClaim(database(), promptId);
    expect(await names(promptId)).toEqual(["queued", "preparing"]);
    expect((await read(promptId)).isolation).toBeNull();
  });

  test("a run that is taken over has the phases of its new runner, and its agent's isolation", async () => {
    const { promptId } = await seedPrompt(database());
    const first = await mustClaim(database(), promptId, { ttlMs: EXPIRED_MS });
    await writerOf(database().orm, first).recordProcess(PROCESS, { isolation: ISOLATION });
    // However many runners take it over: the row does not grow.
    for (let claims = 0; claims < 3; claims += 1)
      await mustClaim(database(), promptId, { ttlMs: EXPIRED_MS });
    const last = await mustClaim(database(), promptId);
    expect(await names(promptId)).toEqual(["preparing"]);
    await writerOf(database().orm, last).markAdopted(PROCESS);
    expect(await names(promptId)).toEqual(["preparing", "working"]);
    expect((await read(promptId)).isolation).toEqual(ISOLATION);
  });

  test("a prompt that is cancelled or revived says so", async () => {
    const { sessionId, promptId } = await create();
    await send("POST", `/sessions/${sessionId}/cancel`);
    expect(await names(promptId)).toEqual(["queued", "finished"]);
    const { promptId: failing } = await create();
    const run = await mustClaim(database(), failing);
    await writerOf(database().orm, run).finish({ ...COMPLETED, status: "Failed", error: "why", dead: true });
    expect(await names(failing)).toEqual(["queued", "preparing", "finished"]);
    await database().orm.transaction((tx) => revivePrompts(tx, [failing]));
    expect(await names(failing)).toEqual(["queued"]);
  });
});
