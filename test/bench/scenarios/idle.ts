import { createDeployment, startBackend } from "../../harness/backend.ts";
import { startProcess } from "../../harness/process.ts";
import type { Scenario } from "../scenario.ts";
import { cpuOf, memoryOf } from "./processes.ts";

/** After its start, while code that runs often is compiled, seconds. */
const SETTLE_S = 45;
/** All tasks have had their turns, the rarest ones several. */
const SECONDS = 60;
/** A process that has the same database open, and no service. */
const BARE = `
import { PGlite } from "@electric-sql/pglite";
const database = await PGlite.create({ dataDir: process.argv.at(-1) });
await database.query("select 1");
console.log("open");
setInterval(() => undefined, 3_600_000);`;

export const scenario: Scenario = {
  name: "idle",
  about: "an embedded service with nothing to do, against a bare process with PGlite open",
  async run({ binary, rounds, say }) {
    const taken = {
      ours: { cpu: [] as number[], rss: [] as number[] },
      bare: { cpu: [] as number[], rss: [] as number[] },
    };
    const take = async (who: "ours" | "bare", pid: number) => {
      await Bun.sleep(SETTLE_S * 1_000);
      const before = cpuOf(pid);
      await Bun.sleep(SECONDS * 1_000);
      taken[who].cpu.push(((cpuOf(pid) - before) / SECONDS) * 100);
      taken[who].rss.push(memoryOf(pid).rss);
    };
    for (let round = 0; round < rounds; round += 1) {
      say(`idle: round ${round + 1} of ${rounds}`);
      await using deployment = await createDeployment("embedded");
      await using backend = await startBackend(deployment, { env: { LOG_LEVEL: "warn" }, binary });
      const bare = startProcess({
        argv: [process.execPath, "-e", BARE, `${deployment.folder}/bare`],
        env: { HOME: deployment.folder },
        cwd: process.cwd(),
      });
      try {
        await bare.waitForLine(/open/, { timeoutMs: 60_000 });
        // Side by side: whatever else the machine does meets both.
        await Promise.all([take("ours", backend.process.pid), take("bare", bare.pid)]);
      } finally {
        bare.kill("SIGKILL");
        await bare.exit;
      }
    }
    const bareNow = (name: "cpu" | "rss") => taken.bare[name].at(-1) ?? Number.NaN;
    // The goals are of the process itself.
    return [
      {
        ...{ measure: "idle embedded service, CPU", unit: "% of a core", goal: { atMost: 0.5 } },
        samples: taken.ours.cpu,
        details: { "bare PGlite, % of a core": bareNow("cpu") },
      },
      {
        ...{ measure: "idle embedded service, memory", unit: "MB", goal: { atMost: 300 } },
        samples: taken.ours.rss,
        details: { "bare PGlite, MB": bareNow("rss") },
      },
    ];
  },
};
