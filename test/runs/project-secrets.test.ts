import { expect, test } from "bun:test";
import { dirname, join } from "node:path";
import { eq } from "drizzle-orm";
import { runSecret } from "../../src/db/project-tables.ts";
import { auditPending } from "../../src/db/safety-tables.ts";
import { purgeRunSecrets } from "../../src/projects/run-store.ts";
import { deleteProject } from "../../src/projects/store.ts";
import { describeRuns, shellAgent } from "./fixture.ts";
import { projectsOf, VALUE } from "./project-fixture.ts";

describeRuns("the secrets of a run's project, in what its agent leaves", (fixture) => {
  const { projectOf, depsFor, setProject, updateOwn, followUp, runWith } = projectsOf(fixture);

  test("an adopted agent's output has no secret either", async () => {
    await setProject({});
    const { promptId } = await fixture().submit();
    const { machine, detachAfter, run, textsOf } = fixture();
    const agent = () =>
      depsFor(shellAgent(`echo begun; until [ -e go ]; do sleep 0.1; done; echo "late $TOKEN"`));
    await detachAfter(promptId, agent(), "begun");
    const row = await fixture().promptRow(promptId);
    expect(row?.status).toBe("Running");
    const { sbxConfig } = (await fixture().sessionRow(row?.sessionId ?? "")) ?? {};
    await Bun.write(join(machine.dataDir, "sandboxes", sbxConfig?.id ?? "", "disk/checkout/go"), "");
    await run(promptId, agent());
    expect(await textsOf(promptId)).toContain("late [secret TOKEN]");
  });

  /** Starts an agent that waits for the file `go`, and leaves it alone. @returns lets it go on. */
  const begun = async (script: string) => {
    const { promptId } = await fixture().submit();
    const agent = () => depsFor(shellAgent(`echo begun; until [ -e go ]; do sleep 0.1; done; ${script}`));
    await fixture().detachAfter(promptId, agent(), "begun");
    const row = await fixture().promptRow(promptId);
    const { sbxConfig } = (await fixture().sessionRow(row?.sessionId ?? "")) ?? {};
    const checkout = join(fixture().machine.dataDir, "sandboxes", sbxConfig?.id ?? "", "disk/checkout");
    return { promptId, agent, go: () => Bun.write(join(checkout, "go"), "") };
  };
  const given = (promptId: string) =>
    fixture().database.orm.select().from(runSecret).where(eq(runSecret.promptId, promptId));
  const NEWER = "a-newer-value-of-the-token";

  for (const [what, change] of [
    ["changed", (id: string) => updateOwn(id, {}, { TOKEN: NEWER })],
    ["taken away", (id: string) => updateOwn(id, {}, { TOKEN: null })],
    [
      "deleted with its project",
      (id: string) => deleteProject(fixture().database.orm, { userId: "alice", id }),
    ],
  ] as const)
    test(`a secret that was ${what} while its agent runs is still replaced, and not pushed, when that is adopted`, async () => {
      const { id } = await setProject({});
      const { promptId, agent, go } = await begun('echo "late $TOKEN"; echo "$TOKEN" > leak.txt');
      await change(id);
      await go();
      await fixture().run(promptId, agent());
      expect(await fixture().textsOf(promptId)).toContain("late [secret TOKEN]");
      const row = await fixture().promptRow(promptId);
      expect(row?.error).toContain("TOKEN in leak.txt");
      expect(await objects()).not.toContain(VALUE);
      // Not for longer than its run.
      expect((await given(promptId)).length).toBeGreaterThan(0);
      await purgeRunSecrets(fixture().database.orm);
      expect(await given(promptId)).toEqual([]);
    });

  test("the work of an agent whose secrets cannot be opened any more does not leave its sandbox", async () => {
    await setProject({});
    const { promptId, agent, go } = await begun('echo "$TOKEN" > leak.txt');
    await go();
    await fixture().run(promptId, { ...agent(), projectOf: projectOf({ secretsKeys: [] }) });
    const row = await fixture().promptRow(promptId);
    expect(row).toMatchObject({ status: "Failed", errorKind: "configuration" });
    const { branch } = (await fixture().sessionRow(row?.sessionId ?? "")) ?? {};
    expect(await branchesOf(branch)).toBe("");
    expect(await objects()).not.toContain(VALUE);
  });

  const GIT = "git -c user.name=A -c user.email=a@b";
  const SPOIL = `mkdir -p conf; echo "key: $TOKEN" > conf/app.yml; ${GIT} add -A; ${GIT} commit -qm "Uses $TOKEN"; echo fine > fine.txt`;
  const branchesOf = (branch: string | undefined) =>
    Bun.$`git -C ${fixture().repository.path} branch --list ${branch ?? ""}`.text();
  /** Of all stores of this machine, whether a ref leads to them or not. */
  const objects = async () => {
    const repos = join(fixture().machine.dataDir, "repos");
    const found = await Bun.$`find ${repos} -name objects -type d`.text();
    const all = found
      .split("\n")
      .filter(Boolean)
      .map((folder) => Bun.$`git --git-dir=${dirname(folder)} cat-file --batch-all-objects --batch`.text());
    return (await Promise.all(all)).join("\n");
  };

  test("commits with a secret in them are refused: nothing of them is in a store, and the session says what is where", async () => {
    await setProject({});
    const { sessionId, promptId, row } = await runWith(SPOIL);
    expect(row).toMatchObject({ status: "Failed", errorKind: "agent" });
    expect(row?.error).toContain("TOKEN in conf/app.yml");
    expect(row?.error).toContain("TOKEN in a commit message");
    expect(row?.error).toContain("Nothing of it was kept or pushed");
    expect((await fixture().textsOf(promptId)).join("\n")).toContain("The work was refused");
    const { orm } = fixture().database;
    const audited = () =>
      orm
        .select()
        .from(auditPending)
        .where(eq(auditPending.target, `prompt:${promptId}`));
    const refused = (await audited()).filter(({ action }) => action === "branch.refuse");
    expect(refused).toMatchObject([
      { actor: "alice", detail: { secrets: { TOKEN: ["a commit message", "conf/app.yml"] } } },
    ]);
    expect(JSON.stringify(refused)).not.toContain(VALUE);
    const { branch } = (await fixture().sessionRow(sessionId)) ?? {};
    expect(await branchesOf(branch)).toBe("");
    expect(await objects()).not.toContain(VALUE);
    expect(await Bun.$`find ${join(fixture().machine.dataDir, "repos")} -name ${"tmp_*"}`.text()).toBe("");
    // A later commit that takes it away does not help: history would have it.
    const { id } = await followUp(sessionId);
    await fixture().run(
      id,
      depsFor(shellAgent(`ls; ${SPOIL}; ${GIT} rm -qf conf/app.yml; ${GIT} commit -qm Gone`)),
    );
    expect((await fixture().textsOf(id)).join("\n")).not.toContain("fine.txt");
    expect((await fixture().promptRow(id))?.error).toContain("TOKEN in conf/app.yml");
    expect(await branchesOf(branch)).toBe("");
    expect(await objects()).not.toContain(VALUE);
    const again = await followUp(sessionId);
    await fixture().run(again.id, depsFor(shellAgent("echo fine > fine.txt")));
    expect((await fixture().promptRow(again.id))?.status).toBe("Completed");
    expect(await branchesOf(branch)).toContain(branch ?? "?");
    expect(await objects()).toContain("fine");
  });

  for (const message of [`Use it\n\n- with ${VALUE}`, `Use it\n\ndiff --git a/x b/x\n-${VALUE}`])
    test(`a line of a message is none of a diff: ${JSON.stringify(message)}`, async () => {
      await setProject({});
      const { row } = await runWith(`echo x > x; ${GIT} add -A; ${GIT} commit -qm '${message}'`);
      expect(row?.error).toContain("TOKEN in a commit message");
      expect(await objects()).not.toContain(VALUE);
    });

  test("a binary file that only a merge has is looked at, too", async () => {
    await setProject({});
    const { row } = await runWith(`set -e
      git checkout -q -b side; echo a > a; ${GIT} add -A; ${GIT} commit -qm A
      git checkout -q -; echo b > b; ${GIT} add -A; ${GIT} commit -qm B
      ${GIT} merge -q --no-commit side; printf 'x\\0%s' "$TOKEN" > c; ${GIT} add -A; ${GIT} commit -qm Merge`);
    expect(row?.error).toContain("TOKEN in c");
    expect(await objects()).not.toContain(VALUE);
  });

  test("whoever commits is looked at, too; what the repository has above a change is not", async () => {
    await setProject({});
    const { row } = await runWith(
      `echo x > x; ${GIT} add -A; GIT_COMMITTER_NAME="${VALUE}" ${GIT} commit -qm Adds`,
    );
    expect(row?.error).toContain("TOKEN in a commit message");
    const inSource = (...args: string[]) => Bun.$`git -C ${fixture().repository.path} ${args}`.quiet();
    await Bun.write(join(fixture().repository.path, "old.c"), `${VALUE}() {\n  1\n  2\n  3\n}\n`);
    await inSource("add", "-A");
    await inSource("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "Old");
    const change = await runWith(`sed -i 's/  3/  4/' old.c`);
    expect([change.row?.status, change.row?.error]).toEqual(["Completed", null]);
    await inSource("reset", "-q", "--hard", "HEAD~1");
  });

  test("work that was kept before its value became a secret is not pushed", async () => {
    await setProject({}, { OTHER: "another value" });
    const { promptId, sessionId } = await fixture().submit();
    const { branch = "" } = (await fixture().sessionRow(sessionId)) ?? {};
    const inSource = (...args: string[]) => Bun.$`git -C ${fixture().repository.path} ${args}`.text();
    await inSource("branch", branch, "main");
    await fixture().run(promptId, depsFor(shellAgent(`echo ${VALUE} > kept.txt`)));
    expect((await fixture().textsOf(promptId)).join("\n")).toContain("The work is kept");
    await inSource("branch", "-D", branch);
    await setProject({});
    const { id } = await followUp(sessionId);
    await fixture().run(id, depsFor(shellAgent("ls")));
    const said = (await fixture().textsOf(id)).join("\n");
    expect(said).toContain("kept.txt");
    expect(said).toContain("TOKEN in kept.txt), so that nothing of it was pushed");
    const audited = await fixture().database.orm.select().from(auditPending);
    expect(audited.find(({ detail }) => detail["prompt"] === id)).toMatchObject({
      ...{ action: "branch.keep", detail: { secrets: { TOKEN: ["kept.txt"] } } },
    });
    expect(await branchesOf(branch)).toBe("");
  });

  test("to take a secret out of what the target branch has is no leak", async () => {
    await setProject({}, { TOKEN: "# Test" });
    const { texts } = await runWith("echo nothing > README.md; ls > list.txt");
    expect(texts.join("\n")).not.toContain("secrets of the project");
  });
});
