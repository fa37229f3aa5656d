import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sealAudit } from "../../src/audit/seal-store.ts";
import { openSignIns } from "../../src/audit/sign-ins.ts";
import { openLocalIssuer } from "../../src/auth/local-issuer.ts";
import { createVerifier } from "../../src/auth/verify.ts";
import { readConfig, settingsOf } from "../../src/config/config.ts";
import { auditEvent } from "../../src/db/safety-tables.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { finishRun } from "../../src/runs/finish.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedRun, writerOf } from "../harness/seed.ts";

describeEachDatabase("what the service itself records", (database) => {
  const entries = async (action: string) => {
    await sealAudit(database().orm);
    const rows = await database().orm.select().from(auditEvent).orderBy(auditEvent.seq);
    return rows.filter((row) => row.action.startsWith(action));
  };

  test("a token signs in once, however often it is used", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "pb-signin-"));
    try {
      let now = Date.now();
      const signIns = openSignIns({ orm: database().orm, logger: createLogger({ level: "silent" }) });
      const verifier = createVerifier({
        config: { mode: "local", audience: "a" },
        dataDir,
        now: () => now,
        onSignIn: signIns.record,
      });
      const issuer = openLocalIssuer({ dataDir, audience: "a" });
      const token = await issuer.issue({ user: "ann", roles: ["admin"] });
      await Promise.all([
        verifier.verify(token),
        verifier.verify(await issuer.issue({ user: "bob", roles: [] })),
      ]);
      await verifier.verify(token);
      // Verified again after ten minutes: that is no new sign-in.
      now += 700_000;
      await verifier.verify(token);
      await expect(verifier.verify("nonsense")).rejects.toThrow();
      await signIns.close();
      const found = await entries("auth.");
      expect(found.map(({ actor, action }) => `${actor} ${action}`).toSorted()).toEqual([
        "ann auth.sign_in",
        "bob auth.sign_in",
      ]);
      expect(JSON.stringify(found)).not.toContain(token.slice(0, 30));
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  test("each host that a run reaches or is refused, once", async () => {
    const run = await seedRun(database());
    const writer = writerOf(database().orm, run);
    const at = new Date().toISOString();
    const row = {
      host: "evil.example",
      port: 443,
      decision: "refused",
      rule: "EGRESS=deny",
      firstAt: at,
      lastAt: at,
    };
    const rows = (count: number) =>
      [
        { ...row, count },
        { ...row, host: "npm.example", decision: "allowed", count },
      ] as never;
    await writer.recordEgress(rows(1), []);
    await writer.recordEgress(rows(5), []);
    expect((await entries("egress.")).map(({ action, target }) => `${action} ${target}`).toSorted()).toEqual([
      "egress.allow host:npm.example:443",
      "egress.refuse host:evil.example:443",
    ]);
  });

  test("a push, with its repository, branch and commit; and work that could not be pushed", async () => {
    for (const push of [
      { pushed: true, to: "https://git.example/o/n" },
      { pushed: false, reason: "no credentials" },
    ]) {
      const run = await seedRun(database());
      await finishRun(writerOf(database().orm, run), run, {
        status: "Completed",
        summary: "SECRET-ANSWER",
        usage: { turns: 1 },
        work: { commits: 2, head: "abc123", push } as never,
      });
    }
    const found = await entries("branch.");
    expect(found.map(({ actor, action }) => `${actor} ${action}`)).toEqual([
      "alice branch.push",
      "alice branch.keep",
    ]);
    expect(found[0]?.detail).toMatchObject({
      repo: "owner/name",
      commit: "abc123",
      to: "https://git.example/o/n",
    });
    expect(JSON.stringify(found)).not.toContain("SECRET");
  });
});

test("the settings of a start are those that differ from the defaults, without secrets", () => {
  expect(settingsOf(readConfig({}))).toEqual({ CORS_ORIGINS: [], HOST: "127.0.0.1", AUTH_MODE: "local" });
  const settings = settingsOf(
    readConfig({
      DATABASE_URL: "postgres://u:pass-1@h/d",
      GITHUB_TOKEN: "ghp_2",
      HOST: "127.0.0.1",
      EGRESS: "list",
      EGRESS_ALLOW: "npm.example",
      WORKER_CONCURRENCY: "8",
    }),
  );
  expect(settings).toMatchObject({
    DATABASE_URL: "***",
    GITHUB_TOKEN: "***",
    EGRESS: "list",
    WORKER_CONCURRENCY: 8,
  });
  expect(JSON.stringify(settings)).not.toMatch(/pass-1|ghp_2/);
});
