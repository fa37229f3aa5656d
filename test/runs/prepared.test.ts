import { expect, test } from "bun:test";
import { readdir, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import type { RunnerDeps } from "../../src/runs/runner.ts";
import { createSession } from "../../src/sessions/create-store.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeRuns } from "./fixture.ts";
import { KEEPS, LONG, preparedOf, SETUP, USED, WORK } from "./prepared-fixture.ts";

for (const isolated of [true, false])
  describeRuns(
    `prepared checkouts, ${isolated ? "isolated" : "not isolated"}`,
    (fixture) => {
      const {
        prepared,
        snapshots,
        projectOf: realProjects,
        followUp,
        depsFor,
        setProject,
        change,
        run,
        commit,
      } = preparedOf(fixture);

      test(
        "what setup left is there without it, for the next session, as long as lock files are the same",
        async () => {
          await commit("sub/package-lock.json", `{"is": "${isolated} first"}`);
          await setProject({ setupCommand: SETUP });
          const first = await run();
          expect([first.ran, first.skipped, first.row?.status]).toEqual([true, false, "Completed"]);
          expect(first.all).not.toContain("not kept");
          expect(first.texts).toEqual(expect.arrayContaining(USED));
          expect(await snapshots()).toHaveLength(1);
          const second = await run();
          expect([second.ran, second.skipped, second.row?.status]).toEqual([false, true, "Completed"]);
          expect(second.texts).toEqual(expect.arrayContaining(USED));
          expect(second.texts.findIndex((text) => text.startsWith("Setup skipped"))).toBeLessThan(
            second.texts.indexOf("installed"),
          );
          await commit("README.md", `other ${isolated}`);
          expect((await run()).skipped).toBe(true);
          await commit("sub/package-lock.json", `{"is": "${isolated} second"}`);
          const changed = await run();
          expect([changed.ran, changed.skipped]).toEqual([true, false]);
          expect(await snapshots()).toHaveLength(2);
        },
        LONG,
      );

      test(
        "one that cannot be unpacked is removed, and the prompt starts again without it",
        async () => {
          await setProject({ setupCommand: SETUP });
          await run();
          const folder = join(prepared(), (await snapshots())[0] ?? "");
          // As somebody would who can write there, and as a faulty tar.
          const garbage = "no archive".repeat(1_000);
          await Bun.write(join(folder, "home.tar"), garbage);
          const about = await Bun.file(join(folder, "about.json")).json();
          about.files.home.sha256 = new Bun.CryptoHasher("sha256").update(garbage).digest("hex");
          await Bun.write(join(folder, "about.json"), JSON.stringify(about));
          const { promptId } = await fixture().submit();
          await fixture().run(promptId, depsFor(WORK));
          expect((await fixture().promptRow(promptId))?.status).toBe("Queued");
          expect(await snapshots()).toEqual([]);
          await fixture().skipBackoff(promptId);
          const { ran, row, texts } = await run(WORK, {}, promptId);
          expect([ran, row?.status]).toEqual([true, "Completed"]);
          expect(texts).toEqual(expect.arrayContaining(USED));
        },
        LONG,
      );

      test(
        "a secret in what setup left is stored nowhere",
        async () => {
          const secret = "s3cr3t/value+of a token";
          await setProject(
            { setupCommand: 'echo setting up; echo "t=$TOKEN" > "$HOME/.npmrc"' },
            { TOKEN: secret },
          );
          const { all, row } = await run("true");
          expect(row?.status).toBe("Completed");
          expect(all).toContain("not kept for later runs: it has secrets of the project in it (TOKEN)");
          expect(await Bun.$`grep -rlF ${secret} ${prepared()}`.nothrow().text()).toBe("");
          expect(await snapshots()).toEqual([]);
        },
        LONG,
      );

      // The rest is the same in any sandbox.
      if (isolated) return;

      test(
        "another command, variable or host is another setup; other fields are not",
        async () => {
          await setProject({ setupCommand: SETUP, environment: { A: "1" } });
          expect((await run()).ran).toBe(true);
          await change({ instructions: "Be nice." });
          expect((await run()).skipped).toBe(true);
          for (const values of [
            { setupCommand: `${SETUP}\ntrue` },
            { environment: { A: "2" } },
            { environment: { B: "2" } },
            { egressHosts: ["registry.example"] },
          ]) {
            await change(values);
            expect([values, (await run("true")).ran]).toEqual([values, true]);
          }
        },
        LONG,
      );

      test(
        "another value of a secret is another setup, and what is kept tells nothing of it",
        async () => {
          await setProject({ setupCommand: SETUP }, { TOKEN: "a value of a secret" });
          expect((await run("true")).ran).toBe(true);
          // The same project with another value: its id is a part, so that only this is new.
          const other = realProjects();
          const projectOf: RunnerDeps["projectOf"] = async (...args) => {
            const found = await other(...args);
            return found && { ...found, env: { ...found.env, TOKEN: "another value of it" } };
          };
          expect((await run("true", { projectOf })).ran).toBe(true);
          const names = (await readdir(prepared())).join(" ");
          const about = await Bun.$`cat ${prepared()}/*/about.json`.text();
          for (const text of [names, about]) expect(text).not.toContain("value");
        },
        LONG,
      );

      test(
        "another user's project has none of it",
        async () => {
          await setProject({ setupCommand: SETUP });
          expect((await run()).ran).toBe(true);
          await setProject({ setupCommand: SETUP }, {}, { userId: "bob" });
          const { orm } = fixture().database;
          const { path } = fixture().repository;
          const bobs = await orm.transaction((tx) =>
            createSession(tx, {
              ...{ userId: "bob", repo: path, repoKey: path, targetBranch: "main", parent: null },
              ...{ branchPrefix: "prompt/", wantsTitle: false, maxUnfinished: 1_000 },
              prompt: { data: "Do it", text: "Do it", priority: 0 },
            }),
          );
          const { ran, skipped } = await run(WORK, {}, String(bobs.promptId));
          expect([ran, skipped]).toEqual([true, false]);
          // Even where a project's id would be the same: the user is a part by itself.
          const real = realProjects();
          const projectOf: RunnerDeps["projectOf"] = async (claimed, signal) =>
            real({ ...claimed, userId: "bob" }, signal);
          expect((await run(WORK, { projectOf })).ran).toBe(true);
        },
        LONG,
      );

      test(
        "what an agent changed on its branch is kept for its own session only",
        async () => {
          await commit("tools/setup.sh", "echo setting up; echo good > made");
          await commit("bun.lock", `${isolated}`);
          await commit(".gitignore", "made\n");
          await setProject({ setupCommand: "sh -c 'cd tools && . ./setup.sh && mv made ..'" });
          const first = await run(
            "cat made; echo 'echo setting up; echo evil > made' > tools/setup.sh; rm bun.lock; echo x > bun.lock",
          );
          expect(first.texts).toContain("good");
          /** The session's next prompt, in a new checkout of its branch. */
          const next = async (sessionId: string) => {
            const config = (await fixture().sessionRow(sessionId))?.sbxConfig;
            if (config) await fixture().machine.provider.release(config);
            const { id } = await followUp(sessionId);
            return run("cat made", {}, id);
          };
          const second = await next(first.sessionId);
          expect([second.ran, second.texts.includes("evil")]).toEqual([true, true]);
          const third = await next(first.sessionId);
          expect([third.skipped, third.texts.includes("evil")]).toEqual([true, true]);
          // Another session whose agent makes the same lock files on a branch of its own does not get it either.
          const apart = await run("rm bun.lock; echo x > bun.lock");
          expect(apart.row?.status).toBe("Completed");
          const own = await next(apart.sessionId);
          expect([own.ran, own.texts.includes("good"), own.texts.includes("evil")]).toEqual([
            true,
            true,
            false,
          ]);
          // Another session that arrives at the same lock files by itself does not get it.
          await commit("bun.lock", "x\n");
          const other = await run("cat made");
          expect([other.ran, other.texts.includes("good")]).toEqual([true, true]);
        },
        LONG,
      );

      test(
        "what setup leaves in a submodule is kept until the submodule is of another commit",
        async () => {
          const lib = await makeRepository({ files: { "lib.txt": "one\n" } });
          const main = await makeRepository({ files: { "bun.lock": "x\n", ".gitignore": "made\n" } });
          const moveTo = async (commit: string) => {
            const text = `[submodule "lib"]\n\tpath = lib\n\turl = ${lib.path}\n`;
            await Bun.write(join(main.path, ".gitmodules"), text);
            await main.git("add", ".gitmodules");
            await main.git("update-index", "--add", "--cacheinfo", `160000,${commit.trim()},lib`);
            await main.git("commit", "--quiet", "--message=Submodule");
          };
          const session = async () => {
            const { promptId } = await fixture().submit(main.path);
            return run("cat lib/lib.txt lib/made; git -C lib status --short", {}, promptId);
          };
          await moveTo(await lib.git("rev-parse", "HEAD"));
          await setProject(
            { setupCommand: "echo setting up; echo built > lib/made" },
            {},
            { path: main.path },
          );
          const first = await session();
          expect([first.ran, first.all.includes("not kept")]).toEqual([true, false]);
          const second = await session();
          expect([second.ran, second.skipped, second.row?.status]).toEqual([false, true, "Completed"]);
          expect(second.texts).toEqual(expect.arrayContaining(["one", "built", "?? made"]));
          await Bun.write(join(lib.path, "lib.txt"), "two\n");
          await lib.git("commit", "--quiet", "--all", "--message=Two");
          await moveTo(await lib.git("rev-parse", "HEAD"));
          const moved = await session();
          expect([moved.ran, moved.texts.includes("two")]).toEqual([true, true]);
          await Promise.all([lib.remove(), main.remove()]);
        },
        LONG,
      );

      test(
        "a damaged snapshot leads to a setup",
        async () => {
          await setProject({ setupCommand: SETUP });
          await run();
          for (const damage of [
            (folder: string) => truncate(join(folder, "checkout.tar"), 700),
            (folder: string) => rm(join(folder, "home.tar")),
            (folder: string) => Bun.write(join(folder, "about.json"), "{}"),
          ]) {
            const [name = ""] = await snapshots();
            await damage(join(prepared(), name));
            const { ran, row, texts } = await run();
            expect([ran, row?.status, row?.attempt]).toEqual([true, "Completed", 1]);
            expect(texts).toEqual(expect.arrayContaining(USED));
            expect(await snapshots()).toHaveLength(1);
          }
          expect((await run()).skipped).toBe(true);
        },
        LONG,
      );
    },
    { isolated, env: KEEPS },
  );
