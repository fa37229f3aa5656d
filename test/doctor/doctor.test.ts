import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { checked, ok } from "../../src/doctor/finding.ts";
import { useDoctor } from "./use-doctor.ts";

const { scratch, doctor, examined } = useDoctor();

test("before the first start of an embedded service every check passes, and nothing is created", async () => {
  const { code, of, checks } = await examined();
  expect(checks.filter(({ status }) => status === "fail")).toEqual([]);
  expect(code).toBe(0);
  expect(of("configuration")).toBe("ok: no mistakes");
  expect(of("database")).toMatch(/^ok: embedded; the first start will create it in/);
  expect(of("egress")).toBe("ok: EGRESS=deny: agents reach the model and nothing else");
  expect(of("git")).toMatch(/^ok: git version \d/);
  expect(of("agent")).toMatch(/^ok: .*demo/);
  expect(of("disk")).toMatch(/^ok: [\d.]+ GiB free/);
  expect(existsSync(join(scratch.folder, "none"))).toBe(false);
});

test("the table has a line for each check, with the fix below one that is not ok", async () => {
  const { code, stdout } = await doctor({ AUTH_MODE: "none" }, []);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^ok {4}configuration {2,}no mistakes$/m);
  expect(stdout).toMatch(/^warn {2}identity .*\n +→ use it only to try the service out$/m);
});

test("each configuration mistake is reported, and nothing else is checked", async () => {
  const { code, checks } = await examined({ PORT: "x", WORKER_CONCURRENCY: "0", GITHUB_TOKEN: "a secret" });
  expect(code).toBe(1);
  expect(checks).toHaveLength(1);
  expect(checks[0]?.detail).toContain("3 mistakes");
  for (const name of ["PORT", "WORKER_CONCURRENCY", "GITHUB_TOKEN"])
    expect(checks[0]?.detail).toContain(name);
  expect(checks[0]?.detail).not.toContain("a secret");
});

test("a check that hangs fails after the time limit", async () => {
  const never = new Promise<never>(() => undefined);
  expect(await checked("x", () => never, { fix: "do this", timeoutMs: 20 })).toEqual({
    check: "x",
    status: "fail",
    detail: "no answer within 0.02 s",
    fix: "do this",
  });
  expect(await checked("x", () => ok("y"), { fix: "z" })).toEqual({ check: "x", status: "ok", detail: "y" });
});
