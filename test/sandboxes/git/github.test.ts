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

/** A server on loopback. */
const serve = (fetch: (request: Request) => Response) => Bun.serve({ port: 0, hostname: "127.0.0.1", fetch });

function recordArguments(): void {
  for (const one of processArguments()) argvs.add(one);
}

beforeAll(async () => {
  source = await makeRepository();
  await Bun.$`git clone -q --bare ${source.path} ${join(root, "octo/hello.git")}`.quiet();
  server = startGitServer({ root, password: TOKEN, onRequest: recordArguments });
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

test("owner/name with GITHUB_TOKEN: cloned and pushed, and the token appears nowhere", async () => {
  const uses: string[] = [];
  const useSecret = async (secret: string, host: string) => void uses.push(`${secret} ${host}`);
  const request = fixture.request("octo/hello", { branch: "prompt/s-remote", useSecret });
  const sandbox = await fixture.open(request);
  const { out } = await fixture.run(sandbox, "echo 1 > a; env; cat .git/config");
  expect(out).not.toContain(TOKEN);
  expect(out).toContain(`url = ${server.url}/octo/hello`);
  const work = await sandbox.deliverWork("over http", never);
  expect(work).toMatchObject({ commits: 1, push: { pushed: true, to: `${server.url}/octo/hello` } });
  const log = await Bun.$`git -C ${join(root, "octo/hello.git")} log --format=%s prompt/s-remote`.text();
  expect(log).toBe("over http\nBegin\n");
  // Fetched and pushed.
  expect(uses).toEqual(Array(2).fill(`GITHUB_TOKEN ${new URL(server.url).host}`));
  expect([...argvs].join("\n")).toContain("git-remote-http");
  expect([...argvs].join("\n")).not.toContain(TOKEN);
  expect(await Bun.$`grep -rl ${TOKEN} ${fixture.dataDir}`.nothrow().text()).toBe("");

  const followUp = await fixture.open(request);
  expect((await fixture.run(followUp, "cat a")).out).toBe("1");
});

test("a missing repository, and one that needs a token", async () => {
  await expect(fixture.open(fixture.request("octo/none"))).rejects.toThrow(
    `${server.url}/octo/none does not exist, or GITHUB_TOKEN may not read it`,
  );
  const bare = await openSandboxFixture({ env: { GITHUB_URL: server.url, PRIVATE_GIT_HOSTS: "127.0.0.1" } });
  try {
    const useSecret = () => Promise.reject(new Error("there is no secret"));
    await expect(bare.open(bare.request("octo/hello", { useSecret }))).rejects.toThrow(
      `${server.url}/octo/hello does not exist, or it is private and the service needs GITHUB_TOKEN for it`,
    );
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
      `the service needs a token for 127.0.0.1:${otherHost.port} in FORGES for it`,
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

// S8: git's own texts told a port that is open from one that is closed, on addresses that only this machine can reach.
test("an address that is not listed in PRIVATE_GIT_HOSTS is refused before anything connects, whatever listens there", async () => {
  let asked = 0;
  const listener = serve(() => {
    asked += 1;
    return new Response("no", { status: 404 });
  });
  const closed = startGitServer({ root, password: "x" });
  closed.stop();
  const careful = await openSandboxFixture({
    env: { GITHUB_URL: server.url, PRIVATE_GIT_HOSTS: new URL(server.url).host },
  });
  try {
    const texts = [];
    for (const host of [
      `127.0.0.1:${listener.port}`,
      new URL(closed.url).host,
      `localhost:${listener.port}`,
      `[::1]:${listener.port}`,
    ]) {
      const failure = await careful
        .open(careful.request(`http://${host}/a/b`))
        .catch((error: Error) => error.message);
      texts.push(String(failure).replace(host, "HOST"));
    }
    expect(new Set(texts)).toEqual(
      new Set([
        "The host of http://HOST/a/b is at a private address; whoever runs the service can list it in PRIVATE_GIT_HOSTS.",
      ]),
    );
    expect(asked).toBe(0);
  } finally {
    await careful.remove();
    await listener.stop(true);
  }
});

// The way to the remote is open: a server could send git to other services of its host.
test("a redirect on the same host is not followed either", async () => {
  const asked: string[] = [];
  const server = serve((request) => {
    const { pathname, search } = new URL(request.url);
    asked.push(pathname);
    return Response.redirect(`/elsewhere${pathname}${search}`, 302);
  });
  try {
    await expect(fixture.open(fixture.request(`http://127.0.0.1:${server.port}/a/b`))).rejects.toThrow();
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter((path) => path.startsWith("/elsewhere"))).toEqual([]);
  } finally {
    await server.stop(true);
  }
});

// S8: a public server could send git to a service on loopback.
test("a redirect to another host is not followed", async () => {
  let asked = 0;
  const inner = serve(() => {
    asked += 1;
    return new Response("secret");
  });
  const outer = serve((request) =>
    Response.redirect(`http://127.0.0.1:${inner.port}${new URL(request.url).pathname}`, 302),
  );
  try {
    await expect(fixture.open(fixture.request(`http://127.0.0.1:${outer.port}/a/b`))).rejects.toThrow();
    expect(asked).toBe(0);
  } finally {
    await Promise.all([inner.stop(true), outer.stop(true)]);
  }
});
