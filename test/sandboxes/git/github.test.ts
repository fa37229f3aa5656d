import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, processArguments, type SandboxFixture } from "../fixture.ts";
import { startGitServer } from "./git-server.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const TOKEN = "ghp_secret0123456789";
const root = mkdtempSync(join(tmpdir(), "pb-github-"));
const argvs = new Set<string>();
let source: TestRepository;
let server: ReturnType<typeof startGitServer>;
let fixture: SandboxFixture;

function recordArguments(): void {
  for (const one of processArguments()) argvs.add(one);
}

beforeAll(async () => {
  source = await makeRepository();
  await Bun.$`git clone -q --bare ${source.path} ${join(root, "octo/hello.git")}`.quiet();
  server = startGitServer({ root, password: TOKEN, onRequest: recordArguments });
  fixture = await openSandboxFixture({ env: { GITHUB_URL: server.url, GITHUB_TOKEN: TOKEN } });
});
afterAll(async () => {
  await fixture.remove();
  server.stop();
  await source.remove();
  await rm(root, { recursive: true, force: true });
});

test("owner/name with GITHUB_TOKEN: cloned and pushed, and the token appears nowhere", async () => {
  const request = fixture.request("octo/hello", { branch: "prompt/s-remote" });
  const sandbox = await fixture.open(request);
  const { out } = await fixture.run(sandbox, "echo 1 > a; env; cat .git/config");
  expect(out).not.toContain(TOKEN);
  expect(out).toContain(`url = ${server.url}/octo/hello`);
  const work = await sandbox.deliverWork("over http", never);
  expect(work).toMatchObject({ commits: 1, push: { pushed: true, to: `${server.url}/octo/hello` } });
  const log = await Bun.$`git -C ${join(root, "octo/hello.git")} log --format=%s prompt/s-remote`.text();
  expect(log).toBe("over http\nBegin\n");
  expect([...argvs].join("\n")).toContain("ls-remote");
  expect([...argvs].join("\n")).not.toContain(TOKEN);
  expect(await Bun.$`grep -rl ${TOKEN} ${fixture.dataDir}`.nothrow().text()).toBe("");

  const followUp = await fixture.open(request);
  expect((await fixture.run(followUp, "cat a")).out).toBe("1");
});

test("a missing repository, and one that needs a token", async () => {
  await expect(fixture.open(fixture.request("octo/none"))).rejects.toThrow(
    `${server.url}/octo/none does not exist, or GITHUB_TOKEN may not read it`,
  );
  const bare = await openSandboxFixture({ env: { GITHUB_URL: server.url } });
  try {
    await expect(bare.open(bare.request("octo/hello"))).rejects.toThrow("needs a GITHUB_TOKEN");
  } finally {
    await bare.remove();
  }
});

test("the token is sent only to the host of GITHUB_URL", async () => {
  const seen: (string | null)[] = [];
  const otherHost = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      seen.push(request.headers.get("authorization"));
      return new Response("no", { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } });
    },
  });
  try {
    await expect(fixture.open(fixture.request(`http://127.0.0.1:${otherHost.port}/a/b`))).rejects.toThrow(
      "credentials are only sent to GITHUB_URL",
    );
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.filter(Boolean)).toEqual([]);
  } finally {
    otherHost.stop(true);
  }
});

test("a host that is down", async () => {
  const gone = startGitServer({ root, password: "x" });
  gone.stop();
  await expect(fixture.open(fixture.request(`${gone.url}/a/b`))).rejects.toThrow("could not be reached");
});
