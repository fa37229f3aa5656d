import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { RepositoryError } from "../../../src/sandboxes/git/git-errors.ts";
import { unavailable } from "../../harness/services.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture, whyNotIsolated } from "../fixture.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

const reason = await whyNotIsolated();
if (reason) unavailable({ name: "objects that checkouts borrow", reason });

/** Makes packs, with one object each. */
const FILL = `for n in $(seq 47); do echo $n | git hash-object -w --stdin | git pack-objects -q objects/pack/pack >/dev/null || exit; done
  git prune-packed`;

describe.if(reason === undefined)("objects that checkouts borrow", () => {
  let fixture: SandboxFixture;
  beforeAll(async () => {
    fixture = await openSandboxFixture();
  });
  afterAll(() => fixture.remove());

  const request = () =>
    fixture.request(fixture.repository.path, {
      sessionId: Bun.randomUUIDv7(),
      branch: `prompt/${crypto.randomUUID()}`,
    });
  const storeOf = (): string => {
    const [name = ""] = readdirSync(join(fixture.dataDir, "repos")).filter((one) => one.endsWith(".git"));
    return join(fixture.dataDir, "repos", name);
  };
  const inShared = async (...args: string[]) =>
    (await Bun.$`git --git-dir=${join(storeOf(), "base")} ${args}`.quiet()).text();
  /** The objects that git finds in a sandbox, wherever they are. */
  const ALL = "git cat-file --batch-all-objects --batch-check='%(objectname)' | sort";

  test("a checkout copies none of what the repository publishes, and the store keeps it once", async () => {
    const sandbox = await fixture.open(request());
    const { out } = await fixture.run(
      sandbox,
      "find .git/objects -type f ! -path '*/info/*' | wc -l; git fsck --full --strict --no-dangling && git status --short && git log --format=%s",
    );
    expect(out.split("\n")).toEqual(["0", "Begin"]);
    expect(readdirSync(join(storeOf(), "objects/pack"))).toEqual([]);
  });

  test("a session sees nothing that another one made, and cannot write what all borrow", async () => {
    const first = request();
    const made = await fixture.open(first);
    await fixture.run(made, "echo secret > secret && git add secret && git commit -qm secret");
    const { commit, push } = await made.deliverWork("work", never);
    expect(push.pushed).toBe(true);
    // It is in the store, by the delivery and by the next prompt's fetch.
    await fixture.open(first);
    const sandbox = await fixture.open(request());
    const published = (
      await inShared("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    ).split("\n");
    const { out } = await fixture.run(sandbox, ALL);
    expect(out.split("\n")).toEqual(published.filter(Boolean).sort());
    expect(out).not.toContain(commit);
    const attack = await fixture.run(
      sandbox,
      `git cat-file -e ${commit} 2>/dev/null && echo seen
       for one in objects refs packed-refs walked; do ls -d /git/store/$one /git/store/base/objects/../../$one 2>/dev/null; done
       echo /git/store/objects > .git/objects/info/alternates; git cat-file -e ${commit} 2>/dev/null && echo seen
       find /git/store/base/objects -type f | while read -r one; do (echo x > "$one") 2>/dev/null && echo written; rm -f "$one" 2>/dev/null && echo removed; done
       (echo x > /git/store/base/objects/x) 2>/dev/null && echo written
       mount -o remount,rw /git/store/base/objects 2>/dev/null && echo remounted
       true`,
    );
    expect(attack.out).toBe("");
    await inShared("fsck", "--full");
    expect((await made.deliverWork("work", never)).commit).toBe(commit);
  });

  test("what a branch has lost, and packs that were joined, are still there for the checkouts that borrow them", async () => {
    const { repository } = fixture;
    const early = await fixture.open(request());
    const begin = (await repository.git("rev-parse", "main")).trim();
    const tree = (await repository.git("rev-parse", "main^{tree}")).trim();
    let tip = begin;
    const commit = async (message: string, ...parents: string[]) => {
      tip = (await repository.git("commit-tree", tree, "-m", message, ...parents)).trim();
      await repository.git("update-ref", "refs/heads/main", tip);
    };
    await commit("lost", "-p", begin);
    const lost = await fixture.open(request());
    await commit("other root");
    // As many as so many fetches would have left.
    await Bun.$`sh -c ${FILL}`
      .cwd(join(storeOf(), "base"))
      .env({ PATH: process.env["PATH"], GIT_DIR: "." })
      .quiet();
    for (let n = 0; n < 4; n += 1) {
      await commit(`${n}`, "-p", tip);
      const { shared } = await fixture.provider.repositoryFor(request()).fetch(request(), never);
      // Also when joining has packed the refs that say so.
      expect(shared).toBe(true);
    }
    const packs = readdirSync(join(storeOf(), "base/objects/pack")).filter((one) => one.endsWith(".pack"));
    expect(packs.length).toBeLessThan(10);
    for (const sandbox of [early, lost]) {
      const { code, out } = await fixture.run(
        sandbox,
        "git fsck --full --strict --no-dangling && git log --format=%s",
      );
      expect([code, out.split("\n")]).toEqual([0, sandbox === early ? ["Begin"] : ["lost", "Begin"]]);
    }
    await repository.git("update-ref", "refs/heads/main", begin);
  });

  test("a git that is killed at any moment leaves nothing that keeps the next one from its work", async () => {
    const { repository } = fixture;
    const tree = (await repository.git("rev-parse", "main^{tree}")).trim();
    for (let round = 0; round < 12; round += 1) {
      const tip = (await repository.git("commit-tree", tree, "-m", `killed ${round}`, "-p", "main")).trim();
      await repository.git("update-ref", "refs/heads/main", tip);
      const killed = AbortSignal.timeout(10 + round * 12);
      await fixture.provider
        .repositoryFor(request())
        .fetch(request(), killed)
        .catch(() => undefined);
    }
    const sandbox = await fixture.open(request());
    const { code, out } = await fixture.run(
      sandbox,
      "git fsck --full --no-dangling && git log -1 --format=%s",
    );
    expect([code, out]).toEqual([0, "killed 11"]);
  });

  test("nobody gets what is here of a repository that cannot be read any more", async () => {
    const { path } = fixture.repository;
    await rename(path, `${path}-away`);
    try {
      const error = await fixture.open(request()).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(RepositoryError);
    } finally {
      await rename(`${path}-away`, path);
    }
  });

  test("it is gone once no session has the repository", async () => {
    const purge = (known: boolean) =>
      fixture.provider.purge({
        database: "one",
        days: -1,
        known: async (ids) => new Set(known ? ids : []),
        signal: never,
      });
    await purge(true);
    expect(readdirSync(storeOf())).toContain("base");
    await purge(false);
    expect(readdirSync(storeOf())).not.toContain("base");
    // And comes again.
    const sandbox = await fixture.open(request());
    expect((await fixture.run(sandbox, "git fsck --full")).code).toBe(0);
  });
});
