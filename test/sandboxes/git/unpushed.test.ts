import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type CheckoutRequest, RepositoryError } from "../../../src/sandboxes/sandbox.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture, unpushedRecord } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

let here: SandboxFixture;
let there: SandboxFixture;
beforeAll(async () => {
  [here, there] = await Promise.all([openSandboxFixture(), openSandboxFixture()]);
});
afterAll(() => Promise.all([here.remove(), there.remove()]));

/** Work of a session that could not be pushed from here: somebody else has its branch. */
async function unpushable(script = "echo kept > kept"): Promise<CheckoutRequest> {
  const branch = `prompt/s-${crypto.randomUUID()}`;
  const request = here.request(here.repository.path, { branch });
  const sandbox = await here.open(request);
  await here.repository.git("branch", branch, "main");
  await here.run(sandbox, script);
  const { push } = await sandbox.deliverWork("kept", never);
  expect(push).toMatchObject({ pushed: false });
  await here.provider.release(sandbox.config);
  return request;
}

const leftBehind = async ({ dataDir }: SandboxFixture) =>
  (await readdir(join(dataDir, "git"))).filter((name) => name.startsWith("unpushed-"));

/** The same, as the database has it after it was changed. */
const changed = (request: CheckoutRequest, change: (bundle: Buffer) => Uint8Array | string) => ({
  ...request,
  unpushed: {
    ...{ commit: request.unpushed.commit, host: null, keep: request.unpushed.keep },
    async read(file: string) {
      await request.unpushed.read(file);
      await Bun.write(file, change(Buffer.from(await Bun.file(file).bytes())));
      return true;
    },
  },
});

test("what could not be pushed from one machine is checked out on another, and leaves no file in its DATA_DIR", async () => {
  const request = await unpushable();
  const sandbox = await there.open(request);
  expect((await there.run(sandbox, "cat kept")).out).toBe("kept");
  expect(await leftBehind(there)).toEqual([]);
  await there.provider.release(sandbox.config);
});

test("work in the database that lacks its commit cannot be restored, and the error says so", async () => {
  // The same change in the same second would be the same commit, also that of another test.
  const request = await unpushable("echo lost > lost");
  const other = await unpushable("echo other > other");
  const unpushed = {
    commit: request.unpushed.commit,
    host: null,
    read: other.unpushed.read,
    keep: request.unpushed.keep,
  };
  const opened = there.open({ ...request, unpushed });
  await expect(opened).rejects.toThrow(RepositoryError);
  await expect(opened).rejects.toThrow(/is neither in .* nor in what the database has kept of it/);
});

test.each<[string, (bundle: Buffer) => Uint8Array | string, RegExp]>([
  ["is no bundle", () => "nonsense", /not in a bundle of git/],
  ["is empty", () => "", /not in a bundle of git/],
  [
    "has another byte",
    (bundle) => bundle.fill(bundle.at(-40) === 1 ? 2 : 1, bundle.length - 40, bundle.length - 39),
    /pack|inflate|sha1|SHA/i,
  ],
  [
    "names no branch",
    (bundle) => Buffer.from(bundle.toString("latin1").replace(/ refs\/sessions\/\S+/, ""), "latin1"),
    /not in a bundle of git/,
  ],
])("work in the database that %s cannot be restored, and the error says so", async (_how, change, what) => {
  const request = changed(await unpushable(), change);
  const opened = there.open(request);
  await expect(opened).rejects.toThrow(RepositoryError);
  await expect(opened).rejects.toThrow(
    `What this session could not push to ${here.repository.path} cannot be restored: `,
  );
  await expect(opened).rejects.toThrow(what);
  await expect(opened).rejects.toMatchObject({ transient: false });
  expect(await leftBehind(there)).toEqual([]);
});

test("work that builds on what the target branch has lost cannot be restored on another machine", async () => {
  const { repository } = here;
  await repository.git("commit", "--quiet", "--allow-empty", "--message=To be removed");
  const request = await unpushable();
  await repository.git("reset", "--quiet", "--hard", "HEAD~1");
  await expect(there.open(request)).rejects.toThrow("cannot be restored");
  // Where it was made, it still is.
  const sandbox = await here.open(request);
  expect((await here.run(sandbox, "cat kept")).out).toBe("kept");
  await here.provider.release(sandbox.config);
});

test("work that is too large for the database stays on its machine, says so, and goes on there", async () => {
  const request = here.request(here.repository.path, {
    branch: `prompt/s-${crypto.randomUUID()}`,
    unpushed: { ...unpushedRecord(), commit: null, keep: async () => false },
  });
  const sandbox = await here.open(request);
  await here.repository.git("branch", request.branch, "main");
  await here.run(sandbox, "echo large > large");
  const { push } = await sandbox.deliverWork("large", never);
  expect(push.pushed ? "" : push.reason).toContain(
    "too large for the database (UNPUSHED_WORK_MAX_MB): it is kept on this machine only",
  );
  await here.provider.release(sandbox.config);
  const next = await here.open(request);
  expect((await here.run(next, "cat large")).out).toBe("large");
  await here.provider.release(next.config);
});
