import { beforeEach, expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { writeHeartbeats } from "../../src/db/heartbeats.ts";
import { workerAgent } from "../../src/db/service-tables.ts";
import { prompt } from "../../src/db/tables.ts";
import { beginAgentWaits } from "../../src/lifecycle/await-agents.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openAgentReports } from "../../src/tasks/agent-reports.ts";
import { workers } from "../fleet/workers.ts";
import { catalogOf } from "../harness/agents.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { noMetrics } from "../harness/metrics.ts";
import { promptRow, seedPrompt } from "../harness/seed.ts";
import { shellAgent } from "../runs/fixture.ts";

describeEachDatabase("reports of agents", (database) => {
  const { begin, end } = workers(database);
  beforeEach(() => database().orm.delete(workerAgent));
  const open = (agents = catalogOf(shellAgent("true", { name: "codex" }))) =>
    openAgentReports({
      ...{ orm: database().orm, process: "p", host: "here", agents, metrics: noMetrics() },
      logger: createLogger({ level: "silent" }),
    });
  const rows = () => database().orm.select().from(workerAgent);
  const beat = () =>
    writeHeartbeats(database().orm, { process: "p", host: "here", tasks: ["prompt-runner"] });

  test("are written when something has changed, found while the process runs", async () => {
    const agents = catalogOf(shellAgent("true", { name: "codex" }));
    let version = "1";
    const list = () => agents.list().map((one) => ({ ...one, version }));
    const reports = open({ ...agents, list });
    await reports.write();
    expect(await rows()).toMatchObject([
      {
        process: "p",
        agent: "codex",
        host: "here",
        report: { version: "1", available: true, default: true },
      },
    ]);
    const [{ reportedAt } = { reportedAt: undefined }] = await rows();
    for (let n = 0; n < 12; n += 1) await reports.afterBeat();
    expect((await rows())[0]?.reportedAt).toEqual(reportedAt as Date);
    version = "2";
    for (let n = 0; n < 6; n += 1) await reports.afterBeat();
    expect((await rows())[0]?.report.version).toBe("2");
    reports.close();
  });

  test("the first one ends the waits for what this worker has, and purges those of long ago", async () => {
    const { orm } = database();
    await begin("gone", { codex: {} });
    await end("gone");
    const { promptId } = await seedPrompt(database());
    await orm.update(prompt).set({ agent: "codex" });
    expect(await beginAgentWaits(orm)).toBe(1);
    await orm.update(workerAgent).set({ reportedAt: sql`now() - interval '25 hours'` });
    const reports = open();
    await reports.write();
    expect(await promptRow(database(), promptId)).toMatchObject({ waitingFor: "agent" });
    await beat();
    await reports.afterBeat();
    expect(await promptRow(database(), promptId)).toMatchObject({ waitingFor: null, notBefore: null });
    expect((await rows()).map((one) => one.process)).toEqual(["p"]);
    reports.close();
  });
});
