import { expect, test } from "bun:test";
import type { Orm } from "../../src/db/client.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { ask, makeApp } from "../harness/app.ts";

/** An app whose every query fails with this error, wrapped as Drizzle wraps it. */
function failing(code: string) {
  const fail = () => {
    throw new Error("Failed query: select secret", { cause: Object.assign(new Error(code), { code }) });
  };
  const logged: string[] = [];
  const logger = createLogger({ level: "info", write: (line) => void logged.push(line) });
  const app = makeApp({ database: { orm: { select: fail, transaction: fail } as unknown as Orm }, logger });
  return { logged, list: () => ask(app, "alice", "GET", "/sessions") };
}

// The cause: one predicate for both, so that a deadlock answered that the database cannot be reached.
test.each(["40P01", "40001"])("a transaction conflict (%s) is not an unreachable database", async (code) => {
  const { logged, list } = failing(code);
  const { status, body, headers } = await list();
  expect([status, body.err, body.code]).toEqual([503, "unavailable", "transaction_conflict"]);
  expect(body.msg).toBe("Another request changed the same rows; nothing was stored. Send it again.");
  expect(headers.get("retry-after")).toBe("1");
  expect(logged.filter((line) => line.includes(body.request_id))).toHaveLength(1);
});

test.each(["ECONNREFUSED", "CONNECTION_ENDED", "57P01", "08006", "53300", "25P03"])(
  "%s is an unreachable database",
  async (code) => {
    const { status, body, headers } = await failing(code).list();
    expect([status, body.err, body.code]).toEqual([503, "unavailable", "database_unavailable"]);
    expect(body.msg).toStartWith("The database cannot be reached.");
    expect(headers.get("retry-after")).toBe("2");
  },
);

test.each(["23505", "42P01", "22021"])("%s is an internal error", async (code) => {
  const { status, body, headers } = await failing(code).list();
  expect([status, body.err, body.code, headers.get("retry-after")]).toEqual([
    500,
    "internal",
    "internal",
    null,
  ]);
});
