import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";
import { startGitServer } from "./git-server.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** Of this run alone: other tests on this machine run git at the same time. */
const tokenOf = (prefix: string) => `${prefix}${crypto.randomUUID().replaceAll("-", "")}`;
const HOSTS = [
  { token: tokenOf("ghp_"), username: "x-access-token", setting: "GITHUB_TOKEN" },
  { token: tokenOf("glpat-"), username: "oauth2", setting: "GITLAB_TOKEN" },
  { token: tokenOf("gitea-"), username: "x-access-token", setting: "FORGES" },
] as const;
const TOKENS = HOSTS.map(({ token }) => token);
const root = mkdtempSync(join(tmpdir(), "pb-hosts-"));

/** What processes of this machine showed while git talked to a host. */
const seen = { argvs: new Set<string>(), environs: new Set<string>() };
let source: TestRepository;
let servers: ReturnType<typeof startGitServer>[];
let fixture: SandboxFixture;

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // It has ended.
  }
};

function look(): void {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    seen.argvs.add(read(`/proc/${pid}/cmdline`));
    const environ = read(`/proc/${pid}/environ`);
    if (TOKENS.some((token) => environ.includes(token))) seen.environs.add(environ);
  }
}

beforeAll(async () => {
  source = await makeRepository();
  servers = HOSTS.map(({ token, username }, index) => {
    return startGitServer({ root: join(root, `${index}`), password: token, username, onRequest: look });
  });
  for (const index of HOSTS.keys())
    await Bun.$`git clone -q --bare ${source.path} ${join(root, `${index}`, "octo/hello.git")}`.quiet();
  const [github, gitlab, gitea] = servers.map(({ url }) => url);
  fixture = await openSandboxFixture({
    env: {
      ...{ GITHUB_URL: `${github}`, GITHUB_TOKEN: HOSTS[0].token },
      ...{ GITLAB_URL: `${gitlab}`, GITLAB_TOKEN: HOSTS[1].token },
      FORGES: JSON.stringify([{ host: gitea, kind: "gitea", token: HOSTS[2].token }]),
      PRIVATE_GIT_HOSTS: "127.0.0.1",
    },
  });
});
afterAll(async () => {
  await fixture.remove();
  for (const server of servers) server.stop();
  await source.remove();
  await rm(root, { recursive: true, force: true });
});

test("three hosts at once: each gets its own credential and no other, and no process shows one but git on its host", async () => {
  const uses: string[] = [];
  await Promise.all(
    servers.map(async ({ url }, index) => {
      const useSecret = async (secret: string, host: string) => void uses.push(`${secret} ${host}`);
      const request = fixture.request(`${url}/octo/hello`, { branch: `prompt/s-${index}`, useSecret });
      const sandbox = await fixture.open(request);
      const { out } = await fixture.run(sandbox, "echo 1 > a; env; cat .git/config");
      for (const token of TOKENS) expect(out).not.toContain(token);
      const work = await sandbox.deliverWork(`to ${index}`, never);
      expect(work).toMatchObject({ commits: 1, push: { pushed: true, to: `${url}/octo/hello` } });
      const bare = join(root, `${index}`, "octo/hello.git");
      expect(await Bun.$`git -C ${bare} log -1 --format=%s prompt/s-${index}`.text()).toBe(`to ${index}\n`);
    }),
  );
  for (const [index, { token, username, setting }] of HOSTS.entries()) {
    const own = `Basic ${Buffer.from(`${username}:${token}`).toString("base64")}`;
    const sent = new Set(servers[index]?.authorizations.filter((one) => one !== null));
    expect([...sent]).toEqual([own]);
    const { host = "", origin = "" } = new URL(servers[index]?.url ?? "");
    expect(uses.filter((one) => one === `${setting} ${host}`)).toHaveLength(2);

    const shown = [...seen.environs].filter((one) => one.includes(token));
    expect(shown.length).toBeGreaterThan(0);
    for (const environ of shown) {
      expect(TOKENS.filter((one) => environ.includes(one))).toEqual([token]);
      expect(environ).toContain(`=credential.${origin}.helper\0`);
    }
  }
  const argvs = [...seen.argvs].join("\n");
  expect(argvs).toContain("git-remote-http");
  for (const token of TOKENS) {
    expect(argvs).not.toContain(token);
    expect(await Bun.$`grep -rl ${token} ${fixture.dataDir}`.nothrow().text()).toBe("");
  }
});

test("a host that sends git to another one: neither the other gets a credential, nor is it asked", async () => {
  const asked: (string | null)[] = [];
  const to = servers[1];
  const before = to?.authorizations.length;
  const other = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      asked.push(request.headers.get("authorization"));
      const { pathname, search } = new URL(request.url);
      return Response.redirect(`${to?.url}${pathname}${search}`, 302);
    },
  });
  try {
    await expect(
      fixture.open(fixture.request(`http://127.0.0.1:${other.port}/octo/hello`)),
    ).rejects.toThrow();
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter(Boolean)).toEqual([]);
    expect(to?.authorizations.length).toBe(before as number);
  } finally {
    await other.stop(true);
  }
});

test("a credential that a host refuses is named, and its value is not", async () => {
  const careless = await openSandboxFixture({
    env: {
      FORGES: JSON.stringify([{ host: servers[2]?.url, kind: "gitea", token: "wrong-0123456789" }]),
      PRIVATE_GIT_HOSTS: "127.0.0.1",
    },
  });
  try {
    const url = `${servers[2]?.url}/octo/hello`;
    const failure = await careless.open(careless.request(url)).catch((error: Error) => error.message);
    expect(failure).toBe(
      `${url} refused the token for ${new URL(url).host} in FORGES: it is wrong, has expired or was revoked.`,
    );
  } finally {
    await careless.remove();
  }
});
