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

const open = (host: string, privateGitHosts: readonly string[] = []) => {
  const url = `https://${host}/a/b`;
  const ownAddresses = () => ["203.0.114.7", "2606:2800:220:1:0:0:0:7"];
  return openWayOut({
    ...{ address: { url, display: url, kind: "remote" }, folder, privateGitHosts, isolated: false },
    ownAddresses,
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
});
