import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { makeRepository } from "../harness/repository.ts";
import { until } from "../harness/until.ts";

const LONG = 240_000;

test(
  "after kill -9 while a prepared checkout is packed, the next run sets up and packs again, and nothing is left over",
  async () => {
    await using deployment = await createDeployment("embedded");
    const repository = await makeRepository({ files: { "README.md": "x", ".gitignore": "made\n" } });
    // Every program but bubblewrap, and a tar that waits.
    const bin = join(deployment.folder, "bin");
    await mkdir(bin);
    await Bun.$`ln -s /usr/bin/* ${bin}/ && rm -f ${bin}/bwrap ${bin}/tar`.quiet();
    const [packing, go] = [join(deployment.folder, "packing"), join(deployment.folder, "go")];
    await Bun.write(
      join(bin, "tar"),
      `#!/bin/sh\ncase " $*" in *--create*) touch ${packing}; until [ -e ${go} ]; do sleep 0.05; done;; esac\nexec /usr/bin/tar "$@"\n`,
    );
    await chmod(join(bin, "tar"), 0o755);
    const env = {
      PATH: bin,
      AGENT: "command",
      AGENT_COMMAND: JSON.stringify(["sh", "-c", "cat made > work.txt; cat > /dev/null"]),
    };
    const prepared = async () => readdir(join(deployment.dataDir, "prepared")).catch(() => [] as string[]);
    let ids: { sessionId: string; promptId: string };
    {
      await using first = await startBackend(deployment, { env });
      const project = { repo: repository.path, setup_command: "echo setting up; echo made > made" };
      expect((await first.request("POST", "/projects", project)).status).toBe(200);
      ids = await first.submit(repository.path, "Survive this");
      await until(() => existsSync(packing), { what: "the packing" });
      first.process.kill("SIGKILL");
      await first.process.exit;
      expect(await prepared()).toEqual([]);
    }
    await Bun.write(go, "");
    await using second = await startBackend(deployment, { env });
    const { branch } = await second.waitForStatus(ids.sessionId, "NeedsReviewIpReturned", 120_000);
    expect(await repository.git("show", `${branch}:work.txt`)).toBe("made\n");
    expect(await prepared()).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
    const next = await second.submit(repository.path, "Another");
    const other = await second.waitForStatus(next.sessionId, "NeedsReviewIpReturned", 120_000);
    expect(await repository.git("show", `${other.branch}:work.txt`)).toBe("made\n");
    const said = JSON.stringify(await second.messages(next.promptId));
    expect([said.includes("Setup skipped"), said.includes("setting up")]).toEqual([true, false]);
    expect(await readdir(join(deployment.dataDir, "sandboxes"))).toEqual([]);
    await rm(bin, { recursive: true });
    await repository.remove();
  },
  LONG,
);
