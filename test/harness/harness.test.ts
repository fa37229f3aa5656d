import { expect, setDefaultTimeout, test } from "bun:test";
import { tmpdir } from "node:os";
import { RedisClient, SQL } from "bun";
import { startProcess } from "./process.ts";
import { createDatabase, createRedis, describeWith } from "./services.ts";
import { TEST_TIMEOUT_MS } from "./timeouts.ts";
import { until } from "./until.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

describeWith("postgres", "createDatabase", () => {
  test("creates migrated, isolated databases, also concurrently", async () => {
    const databases = await Promise.all([1, 2, 3, 4].map(() => createDatabase()));
    const counts = await Promise.all(
      databases.map(async ({ url }, index) => {
        const sql = new SQL({ url, max: 1 });
        await sql`create table only_here (a int)`;
        const tables = await sql`select 1 from information_schema.tables where table_name = 'session'`;
        await sql.end();
        return { index, tables: tables.length };
      }),
    );
    expect(counts.map((one) => one.tables)).toEqual([1, 1, 1, 1]);
    await Promise.all(databases.map((one) => one.drop()));
  });
});

describeWith("redis", "createRedis", () => {
  test("creates databases that are isolated from each other", async () => {
    const [one, two] = await Promise.all([createRedis(), createRedis()]);
    const [first, second] = [new RedisClient(one.url), new RedisClient(two.url)];
    await first.set("key", "value");
    expect(await second.get("key")).toBeNull();
    await two.flush();
    expect(await first.get("key")).toBe("value");
    await one.flush();
    expect(await first.get("key")).toBeNull();
    first.close();
    second.close();
    await Promise.all([one.drop(), two.drop()]);
  });
});

test("the error of until names the condition and its last value", async () => {
  const failed = until(() => 0, { what: "a kettle", timeoutMs: 30 });
  await expect(failed).rejects.toThrow(/30 ms in vain for a kettle; the last answer was 0/);
});

test("a started process inherits no variables and leaves no child behind", async () => {
  process.env["AMBIENT_FOR_TEST"] = "leaked";
  let pid = 0;
  {
    await using shell = startProcess({
      argv: ["sh", "-c", 'echo "[$AMBIENT_FOR_TEST][$GIVEN]"; sleep 100 & echo "child $!"; wait'],
      env: { GIVEN: "yes" },
      cwd: tmpdir(),
    });
    expect((await shell.waitForLine(/^\[.*\]$/))[0]).toBe("[][yes]");
    pid = Number((await shell.waitForLine(/^child (\d+)$/))[1]);
  }
  delete process.env["AMBIENT_FOR_TEST"];
  await until(async () => !(await alive(pid)), { what: `process ${pid} to end` });
});

test("a process counts as ended although a child outside its group keeps its output open", async () => {
  await using shell = startProcess({ argv: ["sh", "-c", "setsid sleep 20 & echo $!"], cwd: tmpdir() });
  const pid = Number((await shell.waitForLine(/^\d+$/))[0]);
  expect(await shell.exit).toEqual({ code: 0, signal: null });
  expect(await alive(pid)).toBe(true);
  process.kill(pid);
});

test("waitForLine rejects with the exit code and the output when the process ends", async () => {
  await using shell = startProcess({ argv: ["sh", "-c", "echo why >&2; exit 3"], cwd: tmpdir() });
  await expect(shell.waitForLine(/never/)).rejects.toThrow(/exit code 3[\s\S]*why/);
  expect(await shell.exit).toEqual({ code: 3, signal: null });
});

/** A zombie, which nobody has reaped yet, counts as ended. */
async function alive(pid: number): Promise<boolean> {
  const stat = Bun.file(`/proc/${pid}/stat`);
  return (await stat.exists()) && !/\) Z /.test(await stat.text());
}
