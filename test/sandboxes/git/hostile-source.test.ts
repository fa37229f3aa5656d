import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RepositoryError } from "../../../src/sandboxes/sandbox.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** Each attack would leave a file here, outside of every sandbox. */
let proofs: string;
beforeAll(async () => {
  proofs = await mkdtemp(join(tmpdir(), "pb-proofs-"));
  await chmod(proofs, 0o777);
});
afterAll(() => rm(proofs, { recursive: true, force: true }));

// The settings alone must hold, too: where a machine cannot isolate, git runs with nothing else around it.
describe.each([true, false])("a source repository that attacks (isolated: %p)", (isolated) => {
  let fixture: SandboxFixture;
  let repo: TestRepository;
  let proof: string;
  const put = async (name: string, text: string) => {
    await mkdir(join(repo.path, name, ".."), { recursive: true });
    await Bun.write(join(repo.path, name), text);
  };
  const commitAll = async () => {
    await repo.git("add", "--all");
    await repo.git("commit", "-q", "--no-verify", "-m", "prepared");
  };
  /** Checks out and pushes. @returns what the agent's script printed. */
  const roundTrip = async (script: string) => {
    const request = fixture.request(repo.path, { branch: `prompt/${crypto.randomUUID()}` });
    const sandbox = await fixture.open(request);
    const { out } = await fixture.run(sandbox, `${script}\necho work > work`);
    const { push } = await sandbox.deliverWork("work", never);
    expect(push).toEqual({ pushed: true, to: repo.path });
    return out;
  };
  const within = async (body: () => Promise<void>) => {
    repo = await makeRepository();
    proof = join(proofs, crypto.randomUUID());
    try {
      await body();
      expect(existsSync(proof)).toBe(false);
    } finally {
      await repo.remove();
    }
  };
  beforeAll(async () => {
    fixture = await openSandboxFixture({ isolated });
  });
  afterAll(() => fixture.remove());

  test("its hooks do not run when it is fetched from or pushed to", () =>
    within(async () => {
      for (const hook of [
        "pre-receive",
        "update",
        "post-receive",
        "post-update",
        "reference-transaction",
        "proc-receive",
      ]) {
        await put(`.git/hooks/${hook}`, `#!/bin/sh\ntouch ${proof}\n`);
        await chmod(join(repo.path, ".git/hooks", hook), 0o755);
      }
      await roundTrip("true");
    }));

  test("programs that its configuration names do not run", () =>
    within(async () => {
      const run = `sh -c 'touch ${proof}'`;
      await put("evil.config", `[core]\n\tfsmonitor = ${run}\n`);
      await put("evil-hooks/pre-receive", `#!/bin/sh\ntouch ${proof}\n`);
      await chmod(join(repo.path, "evil-hooks/pre-receive"), 0o755);
      for (const [key, value] of [
        ["core.fsmonitor", run],
        ["core.sshCommand", run],
        ["core.pager", run],
        ["core.gitProxy", run],
        ["core.alternateRefsCommand", run],
        ["core.hooksPath", join(repo.path, "evil-hooks")],
        ["uploadpack.packObjectsHook", run],
        ["include.path", join(repo.path, "evil.config")],
        ["credential.helper", `!${run}`],
        ["gpg.program", run],
        ["receive.procReceiveRefs", "refs/heads"],
        ["filter.lfs.smudge", run],
        ["filter.lfs.process", run],
        ["url.ext::sh -c x .insteadOf", repo.path],
      ] as const)
        await repo.git("config", key, value);
      await roundTrip("true").catch((error: unknown) => {
        // Refs that a proc-receive hook would take are refused without it: nothing else may go wrong.
        if (!/pushed/.test(String(error))) throw error;
      });
    }));

  test("replace refs and grafts do not change what is checked out", () =>
    within(async () => {
      const [honest = ""] = (await repo.git("rev-parse", "main")).trim().split("\n");
      await put("README.md", "replaced\n");
      await commitAll();
      const evil = (await repo.git("rev-parse", "main")).trim();
      await repo.git("reset", "-q", "--hard", honest);
      await repo.git("replace", honest, evil);
      await put(".git/info/grafts", `${honest} ${evil}\n`);
      expect(await roundTrip("cat README.md; git rev-list --count HEAD")).toBe("# Test\n1");
    }));

  test.each([
    [".GIT", "case"],
    [".git\u200c", "an ignorable character"],
    ["git~1", "a short name of Windows"],
    [".git.", "a dot that Windows drops"],
  ])("a folder %j (%s) in a commit is refused when it is fetched", (name) =>
    within(async () => {
      const blob = (await repo.git("hash-object", "-w", "README.md")).trim();
      const treeOf = async (text: string) => {
        await put("entries", text);
        return (
          await Bun.$`git -C ${repo.path} mktree < ${join(repo.path, "entries")}`.quiet().text()
        ).trim();
      };
      const inner = await treeOf(`100644 blob ${blob}\tconfig\n`);
      const tree = await treeOf(`040000 tree ${inner}\t${name}\n`);
      await repo.git("branch", "evil", (await repo.git("commit-tree", "-m", "evil", tree)).trim());
      const opened = fixture.open(fixture.request(repo.path, { targetBranch: "evil" }));
      await expect(opened).rejects.toBeInstanceOf(RepositoryError);
    }),
  );

  test("a submodule whose URL would run a program is not fetched, and filters of .gitattributes are not run", () =>
    within(async () => {
      await put(
        ".gitmodules",
        `[submodule "x"]\n\tpath = x\n\turl = ext::sh -c 'touch% ${proof}'\n\tupdate = none\n`,
      );
      await put(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
      await put("a.bin", "version https://git-lfs.github.com/spec/v1\n");
      await repo.git("add", "--all");
      const head = (await repo.git("rev-parse", "HEAD")).trim();
      await repo.git("update-index", "--add", "--cacheinfo", `160000,${head},x`);
      await repo.git("commit", "-q", "-m", "prepared");
      expect(await roundTrip("cat a.bin; ls x | wc -l")).toBe(
        "version https://git-lfs.github.com/spec/v1\n0",
      );
    }));

  test("refs that are named like options are only names", () =>
    within(async () => {
      const head = (await repo.git("rev-parse", "HEAD")).trim();
      await put(`.git/refs/heads/--upload-pack=touch`, `${head}\n`);
      await put(`.git/refs/heads/-x`, `${head}\n`);
      await roundTrip("true");
      for (const targetBranch of ["--upload-pack=touch", "-x"])
        await expect(fixture.open(fixture.request(repo.path, { targetBranch }))).rejects.toThrow(
          "not a valid branch",
        );
    }));

  test("parts of it that are links are not followed", () =>
    within(async () => {
      await Bun.$`mv ${repo.path}/.git/objects ${proofs}/objects && ln -s ${proofs}/objects ${repo.path}/.git/objects`.quiet();
      await expect(fixture.open(fixture.request(repo.path))).rejects.toThrow("no git repository");
      await rm(join(proofs, "objects"), { recursive: true });
    }));
});
