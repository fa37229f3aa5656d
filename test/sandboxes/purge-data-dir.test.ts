import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { describePurge, idFrom, seedOldSession } from "../tasks/fixture.ts";

describePurge("purging DATA_DIR", (fixture) => {
  let source: TestRepository;
  beforeAll(async () => {
    source = await makeRepository();
  });
  afterAll(() => source.remove());

  test("conversations and branches of purged sessions are removed from DATA_DIR", async () => {
    const { database, dataDir, runPurge } = fixture();
    const alive = await seedOldSession(database, { days: 60 });
    const deleted = await seedOldSession(database, { days: 60, deletedDays: 29 });
    const [purged, recent] = [idFrom(60), idFrom(1)];
    const conversations = join(dataDir, "conversations");
    const ids = [alive.id, deleted.id, purged, recent];
    for (const id of [...ids, "not-a-session"]) await mkdir(join(conversations, id), { recursive: true });
    const store = join(dataDir, "repos", `${"a".repeat(32)}.git`);
    await source.git("clone", "--quiet", "--bare", source.path, store);
    for (const id of ids)
      for (const ref of ["base", "head", "aside/x"])
        await source.git("-C", store, "update-ref", `refs/sessions/${id}/${ref}`, "refs/heads/main");

    expect(await runPurge()).toMatchObject({ conversations: 1, branches: 3 });
    expect(await readdir(conversations)).toEqual(
      expect.arrayContaining([alive.id, deleted.id, recent, "not-a-session"]),
    );
    expect(await readdir(conversations)).not.toContain(purged);
    const refs = await source.git("-C", store, "for-each-ref", "--format=%(refname)");
    for (const id of ids) expect(refs.includes(id)).toBe(id !== purged);
    expect(refs).toContain("refs/heads/main");
    expect(await runPurge()).toMatchObject({ conversations: 0, branches: 0 });
  });

  // Packs stayed for ever: only loose objects were removed.
  test("what only purged sessions had is removed from packs, and the rest stays", async () => {
    const { dataDir, runPurge } = fixture();
    const [purged, recent] = [idFrom(60), idFrom(1)];
    const keeps = join(dataDir, "repos", `${"b".repeat(32)}.git`);
    const empties = join(dataDir, "repos", `${"c".repeat(32)}.git`);
    for (const store of [keeps, empties]) {
      const git = (...args: string[]) => source.git("-C", store, ...args);
      await source.git("init", "--quiet", "--bare", store);
      await source.git("push", "--quiet", store, `main:refs/sessions/${purged}/base`);
      const tree = (await git("rev-parse", `refs/sessions/${purged}/base^{tree}`)).trim();
      const work = (await git("commit-tree", "-m", "work", tree)).trim();
      await git("update-ref", `refs/sessions/${purged}/head`, work);
      if (store === keeps)
        await git("update-ref", `refs/sessions/${recent}/base`, `refs/sessions/${purged}/base`);
      await git("repack", "-a", "-d", "-q");
      await Bun.$`find ${store}/objects -type f -exec touch -d "15 days ago" {} +`.quiet();
      expect(await git("count-objects", "-v")).toContain("in-pack: 4");
    }
    expect(await runPurge()).toMatchObject({ branches: 4 });
    const counts = (store: string) => source.git("-C", store, "count-objects", "-v");
    expect(await counts(keeps)).toMatch(/count: 0\n[\s\S]*in-pack: 3\n/);
    expect(await counts(empties)).toMatch(/count: 0\n[\s\S]*in-pack: 0\n/);
    await source.git("-C", keeps, "fsck", "--strict");
  });

  test("a DATA_DIR that belongs to another database is not touched, and a warning is logged", async () => {
    const { dataDir, logged, runPurge } = fixture();
    await Bun.write(join(dataDir, "database-id"), "another\n");
    const ofAnother = join(dataDir, "conversations", idFrom(60));
    await mkdir(ofAnother, { recursive: true });
    logged.length = 0;
    expect(await runPurge()).toMatchObject({ conversations: 0, branches: 0 });
    expect(logged.join("\n")).toContain("belongs to another database");
    expect(await readdir(join(dataDir, "conversations"))).toContain(ofAnother.split("/").at(-1) as string);
  });
});
