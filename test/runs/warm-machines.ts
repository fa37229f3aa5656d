import { beforeEach } from "bun:test";
import { eq } from "drizzle-orm";
import type { Database } from "../../src/db/client.ts";
import { writeHeartbeats } from "../../src/db/heartbeats.ts";
import { outbox, taskHeartbeat } from "../../src/db/service-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import type { PromptChange } from "../../src/lifecycle/transitions.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { seedSession, TTL_MS } from "../harness/seed.ts";

/** Longer than every test. */
export const AFFINITY_MS = 600_000;

/** Two machines, A and B, that run prompts, as the database knows them; before each test it has nothing else. */
export function warmMachines(database: () => Database) {
  const claim = (host: string, affinityMs = AFFINITY_MS, lastSlot = false, limits = {}) =>
    claimNext(database().orm, {
      ...{ owner: host, host, ttlMs: TTL_MS, maxRunning: 100, maxRunningPerUser: 100 },
      ...{ affinityMs, lastSlot, ...limits },
    });
  const alive = (host: string) =>
    writeHeartbeats(database().orm, { process: host, host, tasks: ["prompt-runner"] });

  beforeEach(async () => {
    const { orm } = database();
    await orm.delete(session);
    await orm.delete(taskHeartbeat);
    await orm.delete(outbox);
    await Promise.all([alive("A"), alive("B")]);
  });

  return {
    claim,
    alive,
    claimed: async (host: string, affinityMs?: number) =>
      ((await claim(host, affinityMs)) as ClaimedRun | undefined)?.promptId,
    change: (values: PromptChange, id = "") =>
      database().orm.update(prompt).set(values).where(eq(prompt.id, id)),
    /** A session that is warm on a machine, with waiting prompts. */
    async warm(host: string, prompts = 1) {
      const seeded = await seedSession(database(), prompts);
      await database().orm.update(session).set({ warmHost: host }).where(eq(session.id, seeded.sessionId));
      return seeded;
    },
  };
}
