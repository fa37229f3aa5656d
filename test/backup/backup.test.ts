import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import {
  type Backend,
  createDeployment,
  type Deployment,
  runProgram,
  startBackend,
} from "../harness/backend.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const DONE = "NeedsReviewIpReturned";

interface Known {
  sessionId: string;
  promptId: string;
}

describe("backup under load, restore into an empty DATA_DIR", () => {
  let deployment: Deployment;
  let repo: TestRepository;
  let file: string;
  let restored: string;
  /** Acknowledged before the backup began; for the finished ones, what could be read. */
  const acknowledged: Known[] = [];
  const finished: { known: Known; session: unknown; messages: unknown[]; head: string }[] = [];
  const program = (args: string[], dataDir = deployment.dataDir, more: Record<string, string> = {}) =>
    runProgram(args, { cwd: deployment.folder, env: { ...deployment.env, DATA_DIR: dataDir, ...more } });

  beforeAll(async () => {
    deployment = await createDeployment("embedded");
    repo = await makeRepository();
    file = join(deployment.folder, "backup.tar.gz");
    restored = join(deployment.folder, "restored");
  });
  afterAll(async () => {
    await deployment[Symbol.asyncDispose]();
    await repo.remove();
  });

  const storeOf = (dataDir: string) => {
    const name = readdirSync(join(dataDir, "repos")).find((one) => one.endsWith(".git"));
    return join(dataDir, "repos", name ?? "none");
  };
  const headOf = async (dataDir: string, sessionId: string) =>
    (await repo.git("-C", storeOf(dataDir), "rev-parse", `refs/sessions/${sessionId}/head`)).trim();

  test("a backup contains everything that was acknowledged, and the service keeps working meanwhile", async () => {
    expect((await program(["token", "--user", "me"], deployment.dataDir, { AUTH_MODE: "local" })).code).toBe(
      0,
    );
    await using backend = await startBackend(deployment);
    let busy = true;
    const submit = async () => {
      while (busy) {
        acknowledged.push(await backend.submit(repo.path, `Write ${acknowledged.length}`));
        // Enough load for two cores, few enough to wait for.
        await Bun.sleep(500);
      }
    };
    const users = [submit(), submit()];
    await until(() => acknowledged.length >= 3, { what: "sessions" });
    for (const known of acknowledged.slice(0, 3)) {
      const session = await backend.waitForStatus(known.sessionId, DONE, 60_000);
      const messages = await backend.messages(known.promptId);
      finished.push({ known, session, messages, head: await headOf(deployment.dataDir, known.sessionId) });
    }

    const before = acknowledged.length;
    const answers: number[] = [];
    let backingUp = true;
    const reader = (async () => {
      while (backingUp) answers.push((await backend.request("GET", "/sessions?limit=5")).status);
    })();
    const done = await program(["backup", file]);
    backingUp = false;
    busy = false;
    await Promise.all([...users, reader]);
    expect(done).toMatchObject({ code: 0, stdout: "" });
    expect(done.stderr).toMatch(/Backed up \d+ files/);
    expect(acknowledged.length).toBeGreaterThan(before);
    expect(answers.length).toBeGreaterThan(3);
    expect(new Set(answers)).toEqual(new Set([200]));
    acknowledged.length = before;

    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(deployment.dataDir, "control.sock")).mode & 0o777).toBe(0o600);
    expect(existsSync(`${file}.tmp`)).toBe(false);
    expect(readdirSync(deployment.dataDir).filter((name) => name.startsWith("snapshot-"))).toEqual([]);

    const again = await program(["backup", file]);
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(/exists already.*--force/);
  }, 240_000);

  test("a restore brings everything back, complete, and work continues", async () => {
    const done = await program(["restore", file], restored);
    expect(done.stderr).toMatch(/Restored \d+ files/);
    expect(done.code).toBe(0);
    expect(readFileSync(join(restored, "local-issuer.key"), "utf8")).toBe(
      readFileSync(join(deployment.dataDir, "local-issuer.key"), "utf8"),
    );
    expect(statSync(join(restored, "local-issuer.key")).mode & 0o777).toBe(0o600);
    // What was signed before is verified with the same public key as what comes.
    expect(readFileSync(join(restored, "provenance.key"), "utf8")).toBe(
      readFileSync(join(deployment.dataDir, "provenance.key"), "utf8"),
    );
    // The service names what the store borrows to each git that it starts.
    const borrowed = join(storeOf(restored), "objects/info/alternates");
    writeFileSync(borrowed, `${join(storeOf(restored), "base/objects")}\n`);
    await repo.git("-C", storeOf(restored), "fsck", "--connectivity-only", "--no-dangling");
    rmSync(borrowed);
    for (const { known, head } of finished) expect(await headOf(restored, known.sessionId)).toBe(head);

    await using backend = await startBackend({
      ...deployment,
      env: { ...deployment.env, DATA_DIR: restored },
    });
    const all: { id: string }[] = (await backend.request("GET", "/sessions")).body.sessions;
    const ids = new Set(all.map(({ id }) => id));
    for (const { sessionId } of acknowledged) expect(ids.has(sessionId)).toBe(true);
    for (const { known, session, messages } of finished) {
      expect(await backend.session(known.sessionId)).toEqual(session);
      expect(await backend.messages(known.promptId)).toEqual(messages);
    }
    // What was queued or running in the backup finishes here, each session with its one prompt.
    for (const id of ids) {
      const { body } = await backend.request("GET", `/sessions/${id}/prompts`);
      expect(body.prompts).toHaveLength(1);
    }
    for (const { sessionId } of acknowledged) await backend.waitForStatus(sessionId, DONE, 100_000);

    await followUp(backend, finished[0]?.known.sessionId ?? "");
  }, 240_000);

  async function followUp(backend: Backend, sessionId: string) {
    const reply = await backend.request("POST", "/prompts", {
      session_id: sessionId,
      data: "And one more line",
    });
    expect(reply.status).toBe(200);
    const session = await until(
      async () => {
        const now = await backend.session(sessionId);
        return now.uiStatus === DONE && now.messages.length === 4 && now;
      },
      { what: "the follow-up to end", timeoutMs: 60_000 },
    );
    const branch = await repo.git("log", "--format=%H", session.branch);
    expect(branch).toContain(finished[0]?.head as string);
    expect(branch.trim().split("\n")).toHaveLength(3);
  }

  test("backup works without a running service, and replaces a file only with --force", async () => {
    const first = await program(["backup", file, "--force"], restored);
    expect(first).toMatchObject({ code: 0 });
    const third = join(deployment.folder, "third");
    expect((await program(["restore", file], third)).code).toBe(0);
    await using backend = await startBackend({ ...deployment, env: { ...deployment.env, DATA_DIR: third } });
    expect((await backend.session(finished[0]?.known.sessionId ?? "")).messages).toHaveLength(4);
  }, 60_000);

  test("a restore replaces nothing; a damaged, truncated or foreign file restores nothing", async () => {
    const full = await program(["restore", file], restored);
    expect(full.code).toBe(1);
    expect(full.stderr).toMatch(/is not empty.*another DATA_DIR/);

    const empty = join(deployment.folder, "empty");
    const plain = gunzipSync(readFileSync(file));
    const flipped = Buffer.from(plain);
    const at = Math.floor(flipped.indexOf("data/postgres/PG_VERSION") / 512) * 512 + 512;
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    const older = Buffer.from(plain);
    older.write('"format": 9', older.indexOf('"format": 1'));
    const newer = Buffer.from(plain);
    newer.write('"migration": 9', newer.indexOf('"migration": 1'));
    const cases: [string, Buffer, RegExp][] = [
      ["flipped", gzipSync(flipped, { level: 1 }), /damaged: data\/postgres\/PG_VERSION does not match/],
      ["cut", readFileSync(file).subarray(0, 500_000), /damaged/],
      [
        "without its end",
        gzipSync(plain.subarray(0, plain.lastIndexOf("manifest.json")), { level: 1 }),
        /damaged/,
      ],
      ["text", Buffer.from("hello"), /is not a backup/],
      ["format", gzipSync(older, { level: 1 }), /has format 9/],
      ["newer", gzipSync(newer, { level: 1 }), /newer prompt-backend/],
    ];
    for (const [name, bytes, message] of cases) {
      const bad = join(deployment.folder, "bad.tar.gz");
      writeFileSync(bad, bytes);
      const done = await program(["restore", bad], empty);
      expect([name, done.code, done.stderr]).toEqual([name, 1, expect.stringMatching(message)]);
      expect(readdirSync(empty).filter((one) => !one.startsWith("lock"))).toEqual([]);
    }
    expect((await program(["restore", join(deployment.folder, "none")], empty)).stderr).toMatch(
      /does not exist/,
    );
  }, 60_000);

  test("what cannot be backed up is refused with the reason", async () => {
    const nothing = join(deployment.folder, "nothing");
    await mkdir(nothing);
    expect((await program(["backup", join(deployment.folder, "x")], nothing)).stderr).toMatch(
      /nothing to back up/,
    );
    expect((await program(["backup", join(restored, "x")], restored)).stderr).toMatch(/is inside DATA_DIR/);
    for (const command of ["backup", "restore"]) {
      const done = await program([command, join(deployment.folder, "x")], restored, {
        DATABASE_URL: "postgres://a:secret@localhost/b",
      });
      expect([done.code, done.stderr]).toEqual([1, expect.stringMatching(/pg_dump.*docs\/OPERATIONS\.md/)]);
      expect(done.stderr).not.toContain("secret");
    }
    await rename(restored, `${restored}.moved`);
  });
});
