import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, readdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { until } from "../harness/until.ts";
import { describeRuns } from "./fixture.ts";
import { KEEPS, LONG, preparedOf, SETUP } from "./prepared-fixture.ts";

describeRuns(
  "setups whose result is not kept",
  (fixture) => {
    const { prepared, snapshots, depsFor, setProject, run } = preparedOf(fixture);

    test(
      "a setup that fails leaves nothing",
      async () => {
        await setProject({ setupCommand: `${SETUP}\nexit 3` });
        expect((await run()).row?.status).toBe("Failed");
        expect(await snapshots()).toEqual([]);
        expect((await run()).ran).toBe(true);
      },
      LONG,
    );

    for (const [more, reason] of [
      ["echo more >> README.md", "it changed a file of the repository (README.md)"],
      ["git config core.hooksPath .husky", "it changed what is in .git"],
      ["git update-index --assume-unchanged README.md", "it changed the index of git"],
      ["echo x > .git/hooks/pre-commit", "it changed what is in .git"],
      ["git init -q vendor/x", "or made a repository"],
    ] as const)
      test(
        `a setup that changes files of the repository, or git, is not kept, and the session says why: ${more}`,
        async () => {
          await setProject({ setupCommand: `${SETUP}\n${more}` });
          const { all, row } = await run("true");
          expect(row?.status).toBe("Completed");
          expect(all).toContain("The result of the setup command is not kept for later runs: ");
          expect(all).toContain(reason);
          expect(await snapshots()).toEqual([]);
        },
        LONG,
      );

    test(
      "a run that is cancelled while it packs ends, and leaves nothing",
      async () => {
        const { dataDir } = fixture().machine;
        const tar = join(dataDir, "bin", "tar");
        await rm(tar);
        await Bun.write(tar, `#!/bin/sh\ntouch ${dataDir}/packing; exec sleep 600\n`);
        await chmod(tar, 0o755);
        await setProject({ setupCommand: SETUP });
        const { promptId, sessionId } = await fixture().submit();
        const running = fixture().run(promptId, depsFor("echo worked"));
        await until(() => existsSync(join(dataDir, "packing")), { what: "the packing" });
        await fixture().cancel(sessionId, promptId);
        await running;
        expect((await fixture().promptRow(promptId))?.status).toBe("Cancelled");
        expect(await fixture().textsOf(promptId)).not.toContain("worked");
        expect(await readdir(prepared()).catch(() => [])).toEqual([]);
        // A machine whose programs are others, as those of busybox, only runs setups each time.
        await Bun.write(join(dataDir, "bin", "tar"), "#!/bin/sh\nexit 1\n");
        const { ran, row, all } = await run("echo worked");
        expect([ran, row?.status]).toEqual([true, "Completed"]);
        expect(all).toContain("is not kept for later runs");
        await rm(tar);
        await symlink("/usr/bin/tar", tar);
      },
      LONG,
    );

    test(
      "what has the sandbox's own path in it would not work in another one",
      async () => {
        for (const own of ["pwd > where", 'ln -s "$PWD/README.md" link', 'pwd > "$HOME/where"']) {
          await setProject({ setupCommand: own });
          expect((await run("true")).all).toContain("it has the sandbox's own path in it");
        }
      },
      LONG,
    );
  },
  { isolated: false, env: KEEPS },
);
