import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MIB } from "../../src/shared/units.ts";
import { forkBomb } from "../harness/fork-bomb.ts";
import { until } from "../harness/until.ts";
import { describeRuns, LIMITS, shellAgent } from "./fixture.ts";

const LIMITED = { RUN_MEMORY_MB: "128", RUN_MAX_PROCESSES: "64", RUN_MAX_OUTPUT_MB: "1", RUN_DISK_MB: "128" };

const BOMBS = [
  ["a memory bomb", "head -c 3G /dev/zero | tail; echo survived; sleep 600", "RUN_MEMORY_MB"],
  ["a memory bomb that is done at once", "head -c 3G /dev/zero | tail >/dev/null", "RUN_MEMORY_MB"],
  ["a fork bomb that is deaf to SIGTERM", forkBomb("4011"), "RUN_MAX_PROCESSES"],
  ["a flood of output", `yes ${"x".repeat(2_000)}`, "RUN_MAX_OUTPUT_MB"],
  [
    "a flood of events",
    `yes '{"type":"user","message":{"role":"user","content":"x"}}' | head -n 1100; sleep 600`,
    "RUN_MAX_EVENTS",
  ],
  // Less than it may print: which of the two limits comes first would depend on how fast it is read.
  ["a flood of what is stored", `yes ${"y".repeat(2_000)} | head -n 300; sleep 600`, "RUN_MAX_STORED_MB"],
  ["a full disk", "dd if=/dev/zero of=large bs=64k count=4000; sleep 600", "RUN_DISK_MB"],
] as const;
/** Of those whose limit would not be the first. */
const LOWER: Record<string, Partial<typeof LIMITS>> = {
  RUN_MAX_EVENTS: { maxEvents: 1_000 },
  RUN_MAX_STORED_MB: { maxStoredBytes: MIB / 4 },
};

/** Cause (S4 of the attacker's report): nothing limited what one run may use of the machine. */
for (const cgroups of [true, false])
  describeRuns(
    `what a run may use, ${cgroups ? "with" : "without"} control groups`,
    (fixture) => {
      const each = cgroups ? BOMBS : BOMBS.filter(([name]) => !name.includes("at once"));
      test.each(each)(
        "%s ends with its own run alone, and with a clear limit",
        async (_, script, variable) => {
          const { depsFor, submit, run, promptRow, machine } = fixture();
          const [bomb, neighbour] = [await submit(), await submit()];
          const runNeighbour = run(neighbour.promptId, depsFor(shellAgent("sleep 3; echo fine")));
          await run(
            bomb.promptId,
            depsFor(shellAgent(script), { limits: { ...LIMITS, ...LOWER[variable] } }),
          );
          const row = await promptRow(bomb.promptId);
          expect(row).toMatchObject({ status: "Failed", errorKind: "limit", attempt: 1 });
          expect(row.error).toContain(variable);
          await runNeighbour;
          expect(await promptRow(neighbour.promptId)).toMatchObject({ status: "Completed" });
          expect(await leftOf(machine.provider.host)).toEqual([]);
          if (variable === "RUN_MEMORY_MB")
            expect(row.usage?.["peak_memory_bytes"]).toBeGreaterThan(100 * MIB);
          if (variable === "RUN_MAX_PROCESSES")
            expect(row.usage?.["peak_processes"]).toBeGreaterThanOrEqual(64);
        },
      );

      /** Cause: an agent that the kernel had killed was taken for one that an operator had killed, and started again. */
      test.if(cgroups)(
        "an agent that ran out of memory while no runner watched has reached its limit, and is not started again",
        async () => {
          const { depsFor, submit, detachAfter, run, promptRow, sessionRow, sandboxesDir } = fixture();
          const { promptId, sessionId } = await submit();
          const script =
            "echo begun; until [ -e go ]; do sleep 0.05; done; head -c 3G /dev/zero | tail >/dev/null; exit 1";
          const deps = depsFor(shellAgent(script, { hasTranscript: async () => true }));
          await detachAfter(promptId, deps, "begun");
          const folder = join(sandboxesDir, (await sessionRow(sessionId))?.sbxConfig?.id ?? "");
          await writeFile(join(folder, "disk/checkout/go"), "");
          const exitCodes = new Bun.Glob("process-*/exit");
          await until(
            async () => {
              const files = await Array.fromAsync(exitCodes.scan(folder));
              return files.some((file) => Bun.file(join(folder, file)).size > 0);
            },
            { what: "the agent to end", timeoutMs: 20_000 },
          );
          await run(promptId, deps);
          const row = await promptRow(promptId);
          expect(row).toMatchObject({ status: "Failed", errorKind: "limit", attempt: 1 });
          expect(row.error).toContain("RUN_MEMORY_MB");
        },
      );
    },
    { cgroups, env: LIMITED },
  );

/** The control groups of a machine's runs. */
async function leftOf(host: string): Promise<string[]> {
  const found = await Bun.$`find /sys/fs/cgroup -name ${`prompt-backend-${host}-*`}`.nothrow().text();
  return found.split("\n").filter(Boolean);
}
