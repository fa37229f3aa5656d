import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeRepository } from "../harness/repository.ts";
import { describeRuns, shellAgent } from "./fixture.ts";

describeRuns("a session on a repository with submodules", (fixture) => {
  test("the agent has them; the user reads which are missing, and what of the work is left out, once each", async () => {
    const { depsFor, submit, run, textsOf, promptRow, sessionRow } = fixture();
    const lib = await makeRepository({ files: { "lib.txt": "from the library\n" } });
    const main = await makeRepository();
    try {
      const commit = (await lib.git("rev-parse", "HEAD")).trim();
      const urls = { lib: lib.path, far: "https://far.example/a/b" };
      const sections = Object.entries(urls).map(
        ([path, url]) => `[submodule "${path}"]\n\tpath = ${path}\n\turl = ${url}\n`,
      );
      await writeFile(join(main.path, ".gitmodules"), sections.join(""));
      await main.git("add", "--all");
      for (const path of Object.keys(urls))
        await main.git("update-index", "--add", "--cacheinfo", `160000,${commit},${path}`);
      await main.git("commit", "--quiet", "--message=Submodules");

      const { sessionId, promptId } = await submit(main.path);
      const script = "cat lib/lib.txt; ls far | wc -l; echo more >> lib/lib.txt; echo work > work";
      await run(promptId, depsFor(shellAgent(script)));
      const branch = (await sessionRow(sessionId))?.branch;
      expect((await textsOf(promptId)).filter(Boolean)).toEqual([
        'The submodule "far" is not in the checkout: its host far.example is neither the repository\'s own nor one of FORGES, where whoever runs the service can list it.',
        "from the library",
        "0",
        expect.stringContaining(`Branch ${branch} (1 commit, tip `),
        'Changes in the submodule "lib" that no commit of the work has are left out.',
      ]);
      expect((await promptRow(promptId))?.status).toBe("Completed");
      expect(await main.git("ls-tree", "--name-only", String(branch))).toBe(
        ".gitmodules\nREADME.md\nfar\nlib\nwork\n",
      );
    } finally {
      await Promise.all([lib.remove(), main.remove()]);
    }
  });
});
