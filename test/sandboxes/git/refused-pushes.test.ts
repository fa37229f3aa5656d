import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { chmod, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";
import { startGitServer } from "./git-server.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const TOKEN = "ghp_secret0123456789";
const root = mkdtempSync(join(tmpdir(), "pb-refused-"));
let source: TestRepository;
let server: ReturnType<typeof startGitServer>;
let fixture: SandboxFixture;

beforeAll(async () => {
  source = await makeRepository();
  server = startGitServer({ root, password: TOKEN });
  fixture = await openSandboxFixture({
    env: { GITHUB_URL: server.url, GITHUB_TOKEN: TOKEN, PRIVATE_GIT_HOSTS: "127.0.0.1" },
  });
});
afterAll(async () => {
  await fixture.remove();
  server.stop();
  await source.remove();
  await rm(root, { recursive: true, force: true });
});

/** A repository whose host refuses pushes by a hook, as hosts do, or by a setting of its own. */
async function refusing(name: string, how: { hook?: string; maxBytes?: number }): Promise<string> {
  const folder = join(root, "octo", `${name}.git`);
  await Bun.$`git clone -q --bare ${source.path} ${folder}`.quiet();
  if (how.hook !== undefined) {
    const hook = join(folder, "hooks/pre-receive");
    await Bun.write(hook, `#!/bin/sh\n${how.hook}\nexit 1\n`);
    await chmod(hook, 0o755);
  }
  await Bun.$`git -C ${folder} config receive.maxInputSize ${how.maxBytes ?? 0}`.quiet();
  return folder;
}

test.each<[string, { hook?: string; maxBytes?: number }, string]>([
  [
    "a protected branch",
    { hook: "echo 'error: GH006: Protected branch update failed for refs/heads/prompt/one.' >&2" },
    "GH006: Protected branch update failed for refs/heads/prompt/one.; ",
  ],
  [
    "a file that is too large for the host",
    { hook: "echo 'error: File big.bin is 150.00 MB; this exceeds the limit of 100.00 MB' >&2" },
    "File big.bin is 150.00 MB; this exceeds the limit of 100.00 MB; ",
  ],
  ["a push that is too large for the host", { maxBytes: 100 }, "maximum allowed size"],
  ["a hook that says nothing", { hook: "" }, "pre-receive hook declined"],
])(
  "%s: what the host says is said, and the work is kept for the next prompt",
  async (title, how, expected) => {
    const name = title.replaceAll(" ", "-");
    const folder = await refusing(name, how);
    const request = fixture.request(`octo/${name}`);
    const sandbox = await fixture.open(request);
    await fixture.run(sandbox, "head -c 100000 /dev/urandom > work.bin");
    const { push, commit } = await sandbox.deliverWork("work", never);
    expect(push.pushed ? "" : push.reason).toStartWith(`${server.url}/octo/${name} refused the push: `);
    expect(push.pushed ? "" : push.reason).toContain(expected);
    expect(push.pushed ? "" : push.reason).toEndWith(
      "The work is kept, and the next prompt continues from it.",
    );
    expect(await Bun.$`git -C ${folder} branch --list prompt/one`.text()).toBe("");
    const second = await fixture.open(request);
    expect((await fixture.run(second, "git rev-parse HEAD; ls")).out).toBe(`${commit}\nREADME.md\nwork.bin`);
    // Once the cause is mended, what was kept is pushed.
    await rm(join(folder, "hooks/pre-receive"), { force: true });
    await Bun.$`git -C ${folder} config receive.maxInputSize 0`.quiet();
    expect(await fixture.provider.push(request, never)).toMatchObject({ push: { pushed: true } });
  },
);
