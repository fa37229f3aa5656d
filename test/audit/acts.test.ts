import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noteAct, recordNotedActs } from "../../src/audit/noted-acts.ts";
import { openRefusals } from "../../src/audit/refusals.ts";
import { sealAudit } from "../../src/audit/seal-store.ts";
import { openSignIns } from "../../src/audit/sign-ins.ts";
import { openLocalIssuer } from "../../src/auth/local-issuer.ts";
import { createVerifier } from "../../src/auth/verify.ts";
import { runToken } from "../../src/cli/token.ts";
import { readConfig, settingsOf } from "../../src/config/config.ts";
import { auditEvent } from "../../src/db/safety-tables.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { finishRun } from "../../src/runs/finish.ts";
import { canMount, makeLoopDisk } from "../db/loop-disk.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedRun, writerOf } from "../harness/seed.ts";
import { until } from "../harness/until.ts";

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

  // An admin's token could be made without a trace.
  test("a token that the command line makes, by whom, for whom, and with which roles", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "pb-noted-"));
    try {
      const sink = { write: () => true };
      const auth = { mode: "local", audience: "a" } as const;
      await runToken({
        config: { auth, dataDir },
        user: "eve",
        roles: ["admin"],
        stdout: sink,
        stderr: sink,
      });
      const logger = createLogger({ level: "silent" });
      for (const _round of [1, 2]) await recordNotedActs({ orm: database().orm, dataDir, logger });
      const [issued, ...others] = await entries("token.");
      expect(issued).toMatchObject({ target: "user:eve", detail: { roles: ["admin"] } });
      expect(issued?.actor).toStartWith("cli:");
      expect(others).toEqual([]);
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  // Each second it threw, and nothing of the whole audit log was sealed any more.
  test("a note that is no entry is set aside, and those after it are recorded", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "pb-noted-"));
    try {
      const folder = join(dataDir, "acts");
      mkdirSync(folder);
      const bad = ["", "{", "{}", "null", "1", "[]", '{"actor":1,"action":"token.issue","target":"user:a"}'];
      for (const [n, text] of bad.entries()) writeFileSync(join(folder, `0${n}.json`), text);
      noteAct(dataDir, { action: "data.backup", target: "file:after" });
      const warnings: string[] = [];
      const logger = {
        ...createLogger({ level: "silent" }),
        warn: (text: string) => void warnings.push(text),
      };
      for (const _round of [1, 2]) await recordNotedActs({ orm: database().orm, dataDir, logger });
      expect((await entries("data.backup")).map(({ target }) => target)).toEqual(["file:after"]);
      expect(warnings).toHaveLength(bad.length);
      expect(readdirSync(folder).toSorted()).toEqual(bad.map((_, n) => `0${n}.json.unreadable`));
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

  test("a secret that a run uses for a host, once", async () => {
    const run = await seedRun(database());
    const writer = writerOf(database().orm, run);
    for (const host of ["git.example", "git.example", "other.example"])
      await writer.recordSecretUse("GITHUB_TOKEN", host);
    const found = (await entries("secret.")).map(({ actor, target, detail }) => [actor, target, detail]);
    expect(found).toEqual(
      ["git.example", "other.example"].map((host) => [
        "runner",
        "secret:GITHUB_TOKEN",
        { host, prompt: run.promptId },
      ]),
    );
  });

  test("attack: requests without a valid token do not fill the log, however many they are", async () => {
    const logger = createLogger({ level: "silent" });
    const refusals = openRefusals({ orm: database().orm, logger });
    const app = makeApp({
      database: database(),
      onRefused: refusals.record,
      env: { TRUSTED_PROXY_HOPS: "1" },
    });
    for (let n = 0; n < 300; n += 1) {
      const user = n % 3 === 0 ? undefined : "bad";
      await ask(app, user, "GET", "/sessions", undefined, { "x-forwarded-for": `192.0.2.${n % 200}` });
    }
    await ask(app, "alice", "GET", "/sessions");
    await refusals.close();
    const found = await entries("auth.refused");
    expect(found.map(({ actor, target, detail }) => [actor, target, detail["count"]]).toSorted()).toEqual([
      ["anonymous", "reason:token_missing", 100],
      ["anonymous", "reason:unauthorized", 200],
    ]);
    for (const { detail } of found) expect(detail["addresses"]).toHaveLength(20);
    expect(found[0]?.detail["addresses"]).toContain("192.0.2.0");
  });

  test("a minute of refusals is one entry", async () => {
    const before = (await entries("auth.refused")).length;
    const logger = createLogger({ level: "silent" });
    const refusals = openRefusals({ orm: database().orm, logger, windowMs: 1 });
    for (let n = 0; n < 10; n += 1) refusals.record("token_expired", "192.0.2.1");
    const stored = async () => (await entries("auth.refused")).slice(before);
    await until(async () => (await stored()).length === 1, { what: "the entry" });
    expect((await stored())[0]?.detail).toMatchObject({ count: 10, addresses: ["192.0.2.1"] });
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
        usage: { reported_turns: 1 },
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

  // A run that failed because of them left no trace in the log: its work had no commit that was kept.
  test("work that is refused because of a project's secrets: their names, and where they are", async () => {
    const secrets = { DEPLOY_TOKEN: ["conf/app.yml", "a commit message"] };
    const push = { pushed: false, refused: true, reason: "its commits have secrets", secrets };
    const work = { commits: 0, commit: "abc123", head: "abc123", start: "abc123", push } as never;
    const common = { status: "Failed", summary: "SECRET-ANSWER", usage: {} } as const;
    // The reason tells of the work, or of something else that has failed before it was refused.
    for (const outcome of [
      { reason: "The work was refused.", undelivered: work },
      { reason: "Exit code 3.", work },
    ]) {
      const run = await seedRun(database());
      await finishRun(writerOf(database().orm, run), run, { ...common, ...outcome });
      const reply = await ask(
        makeApp({ database: database() }),
        "admin",
        "GET",
        "/audit?action=branch.refuse",
      );
      expect(reply.body.entries[0]).toMatchObject({
        ...{ actor: "alice", action: "branch.refuse", target: `prompt:${run.promptId}` },
        detail: {
          ...{ repo: "owner/name", branch: run.branch, session: run.sessionId },
          ...{ reason: "its commits have secrets", secrets },
        },
      });
    }
    expect(JSON.stringify(await entries("branch."))).not.toContain("SECRET-ANSWER");
  });
});

// A token was made, and the note of it was only in memory.
test.if(canMount)("a note is on the disk before its act takes place", async () => {
  await using disk = await makeLoopDisk(16);
  await Bun.$`sync -f ${disk.at}`.quiet();
  noteAct(disk.at, { action: "data.backup", target: "file:noted" });
  await using after = await disk.afterPowerFailure();
  const [name = "none"] = readdirSync(join(after.at, "acts"));
  expect(JSON.parse(readFileSync(join(after.at, "acts", name), "utf8"))).toMatchObject({
    target: "file:noted",
  });
});

test("the settings of a start have no credentials of arguments and URLs", () => {
  const settings = settingsOf(
    readConfig({
      AGENT: "command",
      AGENT_COMMAND: '["my-agent","--key","secret-1"]',
      ANTHROPIC_BASE_URL: "https://user:secret-2@model.example/v1?key=secret-3#secret-4",
      GITHUB_URL: "https://git.example",
    }),
  );
  expect(settings).toMatchObject({
    AGENT_COMMAND: "my-agent",
    ANTHROPIC_BASE_URL: "https://model.example/v1",
    GITHUB_URL: "https://git.example",
  });
  expect(JSON.stringify(settings)).not.toContain("secret-");
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
