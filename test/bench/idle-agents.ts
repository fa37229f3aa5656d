/**
 * What idle agents cost the process that watches them: starts `AGENTS` (64) programs that print nothing, reads their
 * output as a runner does, and reports this process's CPU time over `SECONDS` (10). Needs no services.
 *
 *     bun test/bench/idle-agents.ts
 */
import { watchLimits } from "../../src/runs/limits.ts";
import { makeRepository } from "../harness/repository.ts";
import { openSandboxFixture } from "../sandboxes/fixture.ts";

const count = Number(process.env["AGENTS"] ?? 64);
const seconds = Number(process.env["SECONDS"] ?? 10);
const fixture = await openSandboxFixture({ isolated: false });
const repository = await makeRepository();
const sandbox = await fixture.open(fixture.request(repository.path));
const command = { argv: ["sleep", "600"] as const, env: {}, stdin: "", readable: [] };
const agents = Array.from({ length: count }, () => sandbox.start(command, 600_000));
const readers = agents.map((agent) => Array.fromAsync(agent.lines(0)));

/** Per cent of one processor, and the longest delay of a 5 ms timer. */
async function measure(): Promise<{ cpu: number; lagMs: number }> {
  await Bun.sleep(1_000);
  const before = process.cpuUsage();
  const begin = performance.now();
  let lagMs = 0;
  while (performance.now() - begin < seconds * 1_000) {
    const at = performance.now();
    await Bun.sleep(5);
    lagMs = Math.max(lagMs, performance.now() - at - 5);
  }
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 10 / (performance.now() - begin), lagMs };
}

const limits = {
  timeoutMs: 600_000,
  silenceMs: 0,
  permissionTimeoutMs: 3_600_000,
  resultGraceMs: 30_000,
  minFreeBytes: 0,
  maxCheckoutBytes: 0,
  retryTransientMs: 0,
  maxEvents: 50_000,
  maxStoredBytes: 1024 ** 3,
  maxOutputBytes: 1024 ** 3,
};
const show = (what: string, { cpu, lagMs }: { cpu: number; lagMs: number }) =>
  console.log(`${what}: ${cpu.toFixed(1)} % of a processor, longest delay ${lagMs.toFixed(1)} ms`);
try {
  show(`${count} idle agents`, await measure());
  const watches = agents.map((agent) =>
    watchLimits({
      limits,
      process: agent,
      sandboxes: fixture.provider,
      sandbox,
      hasResult: () => false,
      asks: () => false,
      waitedMs: 0,
      onLimit: () => undefined,
    }),
  );
  show(`${count} idle agents and their limits`, await measure());
  for (const watch of watches) watch.stop();
} finally {
  await Promise.all(agents.map((agent) => agent.stop(0)));
  await Promise.all(readers);
  await fixture.remove();
  await repository.remove();
}
