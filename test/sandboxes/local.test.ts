import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RepositoryError } from "../../src/sandboxes/sandbox.ts";
import { PATIENCE_MS } from "../harness/patience.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import {
  LIMIT_MS,
  linesOf,
  never,
  openSandboxFixture,
  type SandboxFixture,
  whyNotIsolated,
} from "./fixture.ts";

setDefaultTimeout(PATIENCE_MS);

const reason = await whyNotIsolated();
if (reason) unavailable({ name: "sandboxes under bubblewrap", reason });

for (const isolated of reason ? [false] : [true, false])
  describe(isolated ? "under bubblewrap" : "without isolation", () => {
    let fixture: SandboxFixture;
    let repo: TestRepository;
    beforeAll(async () => {
      fixture = await openSandboxFixture({ isolated });
      repo = await makeRepository();
    });
    afterAll(async () => {
      await fixture.remove();
      await repo.remove();
    });

    test("says whether it isolates", () => {
      expect(fixture.provider.isolation.isolated).toBe(isolated);
      if (!isolated) expect(fixture.provider.isolation.detail).toContain("apt-get install bubblewrap");
    });

    test("commits and leftovers reach the branch; the follow-up continues; nothing changed is said", async () => {
      const request = fixture.request(repo.path, { branch: "s/happy" });
      const first = await fixture.open(request);
      await fixture.run(first, "echo 1 > a && git add a && git commit -qm mine && echo 2 > b");
      const work = await first.deliverWork("left over", never);
      expect(work).toMatchObject({ commits: 2, push: { pushed: true, to: repo.path } });
      expect(await repo.git("log", "--format=%s|%an", "s/happy")).toBe(
        "left over|prompt-backend\nmine|prompt-backend\nBegin|Test\n",
      );
      expect(await fixture.provider.release(first.config)).toBe(true);

      const second = await fixture.open(request);
      expect(
        (await fixture.run(second, "cat a b; git branch --show-current; git remote get-url origin")).out,
      ).toBe(`1\n2\ns/happy\n${repo.path}`);
      expect(await second.deliverWork("nothing", never)).toMatchObject({ commits: 2, head: work.head });

      const untouched = await fixture.open(fixture.request(repo.path, { branch: "s/untouched" }));
      expect(await untouched.deliverWork("x", never)).toMatchObject({
        commits: 0,
        push: { pushed: false, reason: "nothing changed" },
      });
      expect(await repo.branches()).not.toContain("s/untouched");
    });

    test("a rejected push is a reason, the work is kept and comes first the next time", async () => {
      const request = fixture.request(repo.path, { branch: "s/kept" });
      const first = await fixture.open(request);
      await repo.git("branch", "s/kept", "main");
      await repo.git("checkout", "-q", "s/kept");
      await fixture.run(first, "echo kept > kept");
      const work = await first.deliverWork("kept", never);
      expect(work.push).toMatchObject({ pushed: false, reason: expect.stringContaining("refused the push") });
      await repo.git("checkout", "-q", "main");
      const second = await fixture.open(request);
      expect((await fixture.run(second, "cat kept")).out).toBe("kept");
      expect((await second.deliverWork("x", never)).push).toEqual({ pushed: true, to: repo.path });
    });

    test.each([
      ["a detached HEAD", "git checkout -q --detach && echo x > x && git add x && git commit -qm x", 1],
      ["another branch", "git checkout -qb other && echo x > x && git add x && git commit -qm x", 1],
      [
        "a look at main after the work",
        "echo x > x; git add x; git commit -qm x; git checkout -q origin/main",
        1,
      ],
      ["lock files", "echo x > x; touch .git/index.lock .git/HEAD.lock", 1],
      ["a nested repository without commits", "git init -q n; echo x > x", 1],
      ["an orphan", "git checkout -q --orphan new && echo x > x", 1],
      ["a damaged index", "echo nonsense > .git/index; echo x > x", 1],
      [
        "a merge with conflicts",
        "git checkout -qb o; echo 1 > README.md; git commit -qam 1; git checkout -q -; echo 2 > README.md; git commit -qam 2; git merge o",
        3,
      ],
    ])("%s", async (_, script, commits) => {
      const request = fixture.request(repo.path, { branch: `s/${crypto.randomUUID()}` });
      const sandbox = await fixture.open(request);
      await fixture.run(sandbox, script);
      const work = await sandbox.deliverWork("left over", never);
      expect(work).toMatchObject({ commits, push: { pushed: true } });
      expect(await repo.git("rev-parse", "--short", request.branch)).toBe(`${work.head}\n`);
    });

    test("lock files that a killed git left in the store are in nobody's way for long", async () => {
      const request = fixture.request(repo.path, { branch: "s/locks" });
      await fixture.open(request);
      const lock = async () => {
        const repos = join(fixture.dataDir, "repos");
        // In the one store that knows the session.
        for (const store of await readdir(repos))
          await writeFile(join(repos, store, `refs/sessions/${request.sessionId}/head.lock`), "").catch(
            () => undefined,
          );
      };
      // Something new, so that its head moves.
      await repo.git("commit", "-q", "--allow-empty", "-m", "more");
      await lock();
      const sandbox = await fixture.open(request);
      await fixture.run(sandbox, "echo x > x");
      await lock();
      expect(await sandbox.deliverWork("x", never)).toMatchObject({ commits: 1, push: { pushed: true } });
    }, 60_000);

    test("a deleted .git is a clear failure", async () => {
      const sandbox = await fixture.open(fixture.request(repo.path));
      await fixture.run(sandbox, "rm -rf .git");
      const collected = sandbox.deliverWork("x", never);
      expect(collected).rejects.toThrow(RepositoryError);
      expect(collected).rejects.toThrow("no usable git repository");
      await collected.catch(() => undefined);
    });

    test.each([
      ["main", "/nowhere/at/all", "There is no git repository at /nowhere/at/all"],
      ["nope", "", "has no branch nope; it has main"],
      ["a..b", "", "not a valid branch name"],
    ])("wrong request: %s in %j", async (targetBranch, path, message) => {
      const before = await readdir(join(fixture.dataDir, "sandboxes"));
      const opened = fixture.open(fixture.request(path || repo.path, { targetBranch }));
      await expect(opened).rejects.toThrow(RepositoryError);
      await expect(opened).rejects.toThrow(message);
      expect(await readdir(join(fixture.dataDir, "sandboxes"))).toEqual(before);
    });

    test("an empty repository", async () => {
      await Bun.$`git init -q --bare ${join(fixture.dataDir, "empty.git")}`.quiet();
      await expect(fixture.open(fixture.request(join(fixture.dataDir, "empty.git")))).rejects.toThrow(
        "is empty",
      );
    });

    test("whatever configuration, hooks and stdin a run leaves, its state stays and its environment is its own", async () => {
      const request = fixture.request(repo.path, { branch: "s/state" });
      const first = await fixture.open(request);
      const child = first.start(
        { argv: ["cat"], env: {}, stdin: "x".repeat(300_000), readable: [] },
        LIMIT_MS,
      );
      expect((await linesOf(child)).join("").length).toBe(300_000);
      await fixture.run(first, 'echo memory > "$STATE/m"; chmod 500 "$HOME"', { STATE: first.paths.state });
      await fixture.provider.release(first.config);
      const second = await fixture.open(request);
      expect((await fixture.run(second, 'cat "$STATE/m"; env', { STATE: second.paths.state })).out).toContain(
        "memory",
      );
      expect((await fixture.run(second, "env")).out).not.toContain("BUN_");
    });

    test("a daemon with a session of its own ends with the run", async () => {
      const sandbox = await fixture.open(fixture.request(repo.path));
      const script = `setsid sh -c 'trap "" TERM HUP; while :; do date +%N > beat; sleep 0.01; done' >/dev/null 2>&1 & while ! [ -s beat ]; do sleep 0.01; done`;
      await fixture.run(sandbox, script);
      expect(await marked(sandbox.config.id)).toEqual([]);
      expect(existsSync(join(sandbox.hostPaths.checkout, "beat"))).toBe(true);
    });

    test("stop: a program that listens ends politely, one that does not by force", async () => {
      const sandbox = await fixture.open(fixture.request(repo.path));
      const start = async (trap: string) => {
        const script = `trap '${trap}' TERM; echo ready; while :; do sleep 0.01; done`;
        const child = sandbox.start(
          { argv: ["sh", "-c", script], env: {}, stdin: "", readable: [] },
          LIMIT_MS,
        );
        for await (const { line } of child.lines(0)) if (line === "ready") break;
        return child;
      };
      const polite = await start("exit 7");
      await polite.stop(5_000);
      expect((await polite.exit).code).toBe(7);
      const deaf = await start("");
      await Promise.all([deaf.stop(50), deaf.stop(50)]);
      expect(await deaf.exit).toMatchObject({ signal: "SIGKILL" });
      expect(await marked(sandbox.config.id)).toEqual([]);
    });

    test("stop: also what is just being started is ended", async () => {
      const sandbox = await fixture.open(fixture.request(repo.path));
      for (let round = 0; round < 10; round += 1) {
        const script =
          "echo ready; while :; do setsid sh -c 'exec sleep 30' & setsid sleep 30 & sleep 0.001; done";
        const child = sandbox.start(
          { argv: ["sh", "-c", script], env: {}, stdin: "", readable: [] },
          LIMIT_MS,
        );
        for await (const { line } of child.lines(0)) if (line === "ready") break;
        await child.stop(0);
        expect(await marked(sandbox.config.id)).toEqual([]);
      }
    }, 60_000);

    test("a program that is not there", async () => {
      const sandbox = await fixture.open(fixture.request(repo.path));
      const child = sandbox.start(
        { argv: ["/no/such/program"], env: {}, stdin: "x", readable: [] },
        LIMIT_MS,
      );
      expect((await child.exit).code).not.toBe(0);
      expect((await child.exit).stderr).toContain("/no/such/program");
    });

    test("release is idempotent, takes read-only folders, and leaves other machines' alone; sweep keeps what is held", async () => {
      const [held, lost] = [
        await fixture.open(fixture.request(repo.path)),
        await fixture.open(fixture.request(repo.path)),
      ];
      await fixture.run(lost, "mkdir -p d/e && touch d/e/f && chmod 500 d/e d");
      expect(await fixture.provider.release({ ...held.config, host: "another" })).toBe(false);
      await fixture.provider.sweep(async () => new Set([held.config.id]));
      expect(await readdir(join(fixture.dataDir, "sandboxes"))).toEqual([held.config.id]);
      await chmod(held.hostPaths.home, 0o500);
      expect(await fixture.provider.release(held.config)).toBe(true);
      expect(await fixture.provider.release(held.config)).toBe(true);
      expect(await fixture.provider.sweep(async () => new Set())).toBe(0);
    });
  });

/** Processes of this machine that carry a sandbox's mark. */
async function marked(id: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc"))
    if (/^\d+$/.test(pid)) {
      const text = await Bun.file(`/proc/${pid}/environ`)
        .text()
        .catch(() => "");
      if (text.includes(id)) found.push(pid);
    }
  return found;
}
