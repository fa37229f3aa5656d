import { beforeEach, expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { writeHeartbeats } from "../../src/db/heartbeats.ts";
import type { AgentReport } from "../../src/db/json-columns.ts";
import { taskHeartbeat, workerAgent } from "../../src/db/service-tables.ts";
import { prompt } from "../../src/db/tables.ts";
import { writeAgentReports } from "../../src/db/worker-agents.ts";
import { beginAgentWaits } from "../../src/lifecycle/await-agents.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openAgentReports } from "../../src/tasks/agent-reports.ts";
import { report, workers } from "../fleet/workers.ts";
import { catalogOf } from "../harness/agents.ts";
import { clientOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { noMetrics } from "../harness/metrics.ts";
import { promptRow, seedPrompt } from "../harness/seed.ts";
import { shellAgent } from "../runs/fixture.ts";

describeEachDatabase("reports of agents", (database) => {
  const { begin, end } = workers(database);
  const { send } = clientOf(database);
  beforeEach(async () => {
    await database().orm.delete(workerAgent);
    await database().orm.delete(taskHeartbeat);
  });
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

  /** GET /agents and the refusal of a limit of turns go by it. */
  test("say of each agent whether it keeps to a limit of turns", async () => {
    const agents = catalogOf(
      shellAgent("true", { name: "counts", limitsTurns: true }),
      shellAgent("true", { name: "not" }),
    );
    await open(agents).write();
    const said = (await rows()).map(({ agent, report: { max_turns } }) => [agent, max_turns]);
    expect(Object.fromEntries(said)).toEqual({ counts: true, not: false });
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

  /** As if each process had written its rows so long ago, and died. */
  const age = (process: string, minutes: number) => {
    const at = sql`now() - make_interval(mins => ${minutes})`;
    const set = {
      reportedAt: at,
      availableAt: sql`case when ${workerAgent.availableAt} is not null then ${at} end`,
    };
    return database().orm.update(workerAgent).set(set).where(eq(workerAgent.process, process));
  };
  const write = (process: string, codex: Partial<AgentReport>, host = "here") =>
    writeAgentReports(database().orm, { process, host, reports: { codex: report(codex) } });

  // Each start left rows for a day, which GET /agents and each choice of an agent read.
  test("of a worker that keeps dying do not pile up, and when it had an agent last stays known", async () => {
    await begin("elsewhere", { codex: {} });
    await age("elsewhere", 100);
    await end("elsewhere");
    for (let n = 60; n > 30; n -= 1) {
      await write(`had ${n}`, {});
      await age(`had ${n}`, n);
    }
    for (let n = 30; n > 0; n -= 1) {
      await write(`lacks ${n}`, { available: false, reason: "Install codex." });
      await age(`lacks ${n}`, n);
    }
    await write("now", { available: false, reason: "Install codex." });
    expect((await rows()).map((one) => one.process).sort()).toEqual(["elsewhere", "had 31", "now"]);
    const { agents } = (await send("GET", "/agents")).body;
    expect(agents).toMatchObject([{ name: "codex", available: false }]);
  });

  test("of a live worker stay, and so do those of one that has no heartbeat yet", async () => {
    await begin("here", { codex: {} });
    await age("here", 50);
    await write("begins", {}, "here");
    await write("now", {}, "here");
    expect((await rows()).map((one) => one.process).sort()).toEqual(["begins", "here", "now"]);
  });

  test("are written again by a worker that counted as dead while it was suspended", async () => {
    const reports = open();
    await reports.write();
    await age("p", 2);
    await write("later", {});
    expect((await rows()).map((one) => one.process)).toEqual(["later"]);
    await beat();
    await reports.afterBeat();
    expect((await rows()).map((one) => one.process).sort()).toEqual(["later", "p"]);
    reports.close();
  });
});
