import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openWayOut } from "../../../src/sandboxes/git/git-network.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-way-out-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const open = (host: string, privateGitHosts: readonly string[] = [], lfs = false) => {
  const url = `https://${host}/a/b`;
  const ownAddresses = () => ["203.0.114.7", "2606:2800:220:1:0:0:0:7"];
  return openWayOut({
    ...{ address: { url, display: url, kind: "remote" }, folder, privateGitHosts, isolated: false },
    ...{ ownAddresses, lfs },
  });
};

// From inside of its firewall, what listens on the machine's public address is reached.
test.each(["203.0.114.7", "[2606:2800:220:1::7]", "10.0.0.1", "[fd00::1]"])("%s is refused", async (host) => {
  await expect(open(host)).rejects.toThrow("list it in PRIVATE_GIT_HOSTS");
});

test.each([
  ["203.0.114.7", ["203.0.114.7"]],
  ["203.0.114.8", []],
])("%s is reachable where %j are listed", async (host, listed) => {
  await using way = await open(host, listed);
  expect(way.port).toBeNumber();
});

// git does not follow redirects; were it made to, by a setting that we do not know, it would get nowhere.
test("it leads to the remote alone", async () => {
  await using way = await open("git.example");
  const proxy = `http://127.0.0.1:${way.port}`;
  for (const url of ["http://other.example/a", "http://git.example/a"]) {
    const reply = await fetch(url, { proxy });
    expect([url, reply.status]).toEqual([url, 403]);
    expect(way.refused()?.message).toContain("(EGRESS=deny)");
  }
  await expect(fetch("https://other.example/a", { proxy })).rejects.toThrow();
  expect(way.refused()?.message).toContain("(EGRESS=deny)");
});

// What a host says of objects is its own word: it must not lead to what is inside, which git may reach for others.
test.each([
  ["git.example", ["inside.localhost"], "http://inside.localhost/a"],
  ["git.example", ["inside.localhost:8080"], "http://inside.localhost:8080/a"],
  ["git.example", ["127.0.0.1"], "http://127.0.0.1/a"],
  ["git.localhost", ["git.localhost"], "http://other.localhost:8080/a"],
  ["git.localhost", ["git.localhost"], "http://127.0.0.1:8080/a"],
])("for git-lfs, %s with %j listed does not lead to %s", async (host, listed, url) => {
  await using way = await open(host, listed, true);
  expect((await fetch(url, { proxy: `http://127.0.0.1:${way.port}` })).status).toBe(403);
  expect(way.refused()?.message).toContain("nor listed in PRIVATE_GIT_HOSTS");
});

test("for git-lfs, a name on the internet that has a private address is refused, unless its host and the repository's are listed", async () => {
  const target = async (host: string, listed: readonly string[]) => {
    await using way = await open(host, listed, true);
    // A tunnel: the gateway has decided when it answers.
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: way.port as number,
      socket: { data() {} },
    });
    const answer = new Promise<string>((resolve) => {
      socket.reload({ socket: { data: (_, bytes) => resolve(Buffer.from(bytes).toString()) } });
    });
    socket.write("CONNECT objects.localhost:443 HTTP/1.1\r\nHost: objects.localhost:443\r\n\r\n");
    const line = (await answer).split("\r\n")[0];
    socket.end();
    return line;
  };
  expect(await target("git.localhost", ["git.localhost"])).toContain(" 403 ");
  expect(await target("git.example", ["objects.localhost"])).toContain(" 403 ");
  // Nobody listens there: it was tried.
  expect(await target("git.localhost", ["git.localhost", "objects.localhost"])).not.toContain(" 403 ");
});
