import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  killMarked,
  MARKER,
  PROCESS_MARKER,
  processesByMark,
} from "../../../src/sandboxes/process/processes.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { until } from "../../harness/until.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const MIB = 1024 ** 2;
const residentBytes = () =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;

/** Cause (S4 e): the environments of all processes were read as a whole, all at once. */
test("hundreds of processes with megabytes of environment cost the service no memory", async () => {
  const id = crypto.randomUUID();
  // 15 variables of 120 kB each: the kernel's limit is for one variable.
  const bulk = Object.fromEntries(Array.from({ length: 15 }, (_, i) => [`BULK_${i}`, "x".repeat(120_000)]));
  const child = Bun.spawn(["sh", "-c", "for i in $(seq 300); do sleep 600 & done; wait"], {
    env: { PATH: process.env["PATH"], [PROCESS_MARKER]: id, ...bulk },
    stdio: ["ignore", "ignore", "ignore"],
  });
  try {
    const marked = async () => (await processesByMark(PROCESS_MARKER)).get(id)?.length ?? 0;
    await until(async () => (await marked()) >= 300, { what: "all to have started", timeoutMs: 20_000 });
    Bun.gc(true);
    const before = residentBytes();
    for (let i = 0; i < 3; i += 1) await processesByMark(PROCESS_MARKER);
    // Reading all of it took more than a gigabyte.
    expect((residentBytes() - before) / MIB).toBeLessThan(200);
  } finally {
    await killMarked(PROCESS_MARKER, id);
  }
  expect(await child.exited).not.toBe(0);
});

/** A mark is a variable of the environment: any program can have any. */
test("a forged mark does not make the service kill itself or whoever started it", async () => {
  const id = crypto.randomUUID();
  const script = `import { killMarked, MARKER } from ${JSON.stringify(new URL("../../../src/sandboxes/process/processes.ts", import.meta.url).pathname)};
    await killMarked(MARKER, ${JSON.stringify(id)});
    console.log("alive");`;
  const parent = Bun.spawn(["sh", "-c", `"$0" -e "$1"; echo parent`, process.execPath, script], {
    env: { PATH: process.env["PATH"], [MARKER]: id },
    stdio: ["ignore", "pipe", "inherit"],
  });
  expect(await parent.stdout.text()).toBe("alive\nparent\n");
});

/** Cause: while a program is being replaced by another, its environment reads as empty. */
test("a program that keeps executing the next one is found at every look", async () => {
  const id = crypto.randomUUID();
  const again = 'exec sh -c "$0" "$0"';
  const child = Bun.spawn(["sh", "-c", again, again], {
    env: { PATH: process.env["PATH"], [PROCESS_MARKER]: id },
    stdio: ["ignore", "ignore", "ignore"],
  });
  try {
    let found = 0;
    for (let look = 0; look < 200; look += 1)
      found += (await processesByMark(PROCESS_MARKER)).has(id) ? 1 : 0;
    expect(found).toBe(200);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
});

/** Cause: one look misses what is started by a process that ends before it is looked at. */
test("what a program leaves behind at its end is killed with it", async () => {
  const id = crypto.randomUUID();
  for (let round = 0; round < 100; round += 1) {
    const leaver = Bun.spawn(["sh", "-c", `(setsid sh -c '(sleep 4010 &)' &)`], {
      env: { PATH: process.env["PATH"], [PROCESS_MARKER]: id },
      stdio: ["ignore", "ignore", "ignore"],
    });
    await leaver.exited;
    await killMarked(PROCESS_MARKER, id);
    expect([round, (await processesByMark(PROCESS_MARKER)).get(id)]).toEqual([round, undefined]);
  }
});
