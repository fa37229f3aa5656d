import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ForgeHostStandIn, startForgeHost } from "../../harness/forge-host.ts";
import { downloadGithubDescriptions } from "../../harness/github-description.ts";
import { type GithubStandIn, startGithubStandIn } from "../../harness/github-stand-in.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

const PATH = "acme/shop";
const root = mkdtempSync(join(tmpdir(), "pb-app-"));
let source: TestRepository;
let github: GithubStandIn;
let host: ForgeHostStandIn;
let fixture: SandboxFixture;
let sessions = 0;

beforeAll(async () => {
  await downloadGithubDescriptions();
  source = await makeRepository();
  github = await startGithubStandIn();
  github.addRepository(PATH);
  const permissions = { contents: "write", metadata: "read" };
  const app = github.addApp({
    installations: [{ id: 7, repositories: [PATH], permissions, suspended: false }],
  });
  const passwords = () =>
    github.tokens.filter(({ expiresAt }) => expiresAt > Date.now()).map(({ value }) => value);
  host = await startForgeHost({ api: github.url, path: PATH, source: source.path, root, passwords });
  fixture = await openSandboxFixture({
    env: {
      GITHUB_URL: host.url,
      GITHUB_APP_ID: app.appId,
      GITHUB_APP_PRIVATE_KEY: app.privateKey.reveal(),
      PRIVATE_GIT_HOSTS: "127.0.0.1",
    },
  });
}, SLOW_TEST_TIMEOUT_MS);
afterAll(async () => {
  await fixture.remove();
  await Promise.all([host.stop(), github.stop(), source.remove()]);
  await rm(root, { recursive: true, force: true });
});
beforeEach(() => {
  sessions += 1;
});

const open = () => fixture.open(fixture.request(host.repo, { branch: `prompt/${sessions}` }));
const refuse = () =>
  new Response("no", { status: 401, headers: { "www-authenticate": 'Basic realm="git"' } });

test("a token of an app that expires between the fetch and the push: the push has its own", async () => {
  const sandbox = await open();
  await fixture.run(sandbox, "echo 1 > a");
  github.expireAppTokens();
  expect(await sandbox.deliverWork("Work", never)).toMatchObject({ push: { pushed: true, to: host.repo } });
  expect(await host.git("log", "-1", "--format=%s", `prompt/${sessions}`)).toBe("Work\n");
});

test.each([
  ["a fetch", /git-upload-pack$/],
  ["a push", /^POST .*git-receive-pack$/],
])("one that expires in the middle of %s: another is made, and it goes on", async (_name, at) => {
  host.once(at, () => {
    github.expireAppTokens();
    return refuse();
  });
  const sandbox = await open();
  await fixture.run(sandbox, "echo 1 > a");
  expect(await sandbox.deliverWork("Work", never)).toMatchObject({ push: { pushed: true } });
  expect(await host.git("log", "-1", "--format=%s", `prompt/${sessions}`)).toBe("Work\n");
});

test("a host that accepts none is asked with two, and no more", async () => {
  for (let time = 0; time < 10; time += 1) host.once(/git-upload-pack$/, refuse);
  const before = github.tokens.length;
  await expect(open()).rejects.toThrow(
    `${host.repo} refused the app of GITHUB_APP_ID: it is wrong, has expired or was revoked.`,
  );
  expect(github.tokens.length - before).toBe(2);
});
