import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import dns from "node:dns";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { egressRules } from "../../src/config/egress-rules.ts";
import { resolveOnHost } from "../../src/egress/addresses.ts";
import { limitLookups, TooManyLookups } from "../../src/egress/lookups.ts";
import { followNameServers } from "../../src/egress/name-servers.ts";
import { createPolicy, refusalText } from "../../src/egress/policy.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { openNameServer } from "./name-server.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** Names that one gateway looks up at a time. */
const MAX_LOOKUPS = 32;

const onLinux = test.if(process.platform === "linux");
const release: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of release.splice(0).reverse()) await one();
});

/** A name server of the test's own, which this process asks instead of the machine's. */
async function useNameServer() {
  const server = await openNameServer();
  release.push(() => server.close());
  const before = dns.getServers();
  dns.setServers([server.address]);
  release.push(() => dns.setServers(before));
  return server;
}

// A lookup by getaddrinfo occupied a thread that reads files, too: 16 slow names made a file wait for a minute.
onLinux("attack: names whose servers do not answer hold up no file", async () => {
  const server = await useNameServer();
  let settled = 0;
  const lookups = Array.from({ length: MAX_LOOKUPS }, (_, n) =>
    resolveOnHost(`silent-${n}.example`).finally(() => {
      settled += 1;
    }),
  );
  const all = Promise.allSettled(lookups);
  await until(() => server.asked.size === MAX_LOOKUPS, { what: "all names to be asked for" });
  await readFile(import.meta.path);
  expect(settled).toBe(0);
  server.answer(["192.0.2.1"]);
  await all;
});

onLinux("a lookup finds all addresses of both families, and those of the machine's own names", async () => {
  const server = await useNameServer();
  server.answer(["93.184.216.34", "127.0.0.1", "2606:2800:220:1::1"]);
  expect((await resolveOnHost("both.example")).toSorted()).toEqual([
    "127.0.0.1",
    "2606:2800:220:1::1",
    "93.184.216.34",
  ]);
  expect(await resolveOnHost("localhost")).toContain("127.0.0.1");
  expect([...server.asked]).toEqual(["both.example"]);
  server.answer([]);
  await expect(resolveOnHost("none.example")).rejects.toThrow("ENOTFOUND");
});

onLinux("a machine that changes its network is followed, which c-ares does not do", () => {
  const folder = mkdtempSync(join(tmpdir(), "pb-resolv-"));
  release.push(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "resolv.conf");
  const set: (readonly string[])[] = [];
  const update = followNameServers({ file, set: (servers) => set.push(servers) });
  update();
  writeFileSync(
    file,
    "# c\nsearch a.example\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 \n#nameserver x\n",
  );
  for (const _twice of [1, 2]) update();
  expect(set).toEqual([["192.0.2.1", "2001:db8::1"]]);
  writeFileSync(file, "# the network is away\n");
  update();
  expect(set).toHaveLength(1);
});

test("one gateway looks up so many names at a time; what is beyond is refused, and not asked for", async () => {
  const asked: string[] = [];
  const answer = Promise.withResolvers<string[]>();
  const policy = createPolicy({
    mode: "list",
    allow: egressRules("*.example"),
    resolve(name) {
      asked.push(name);
      return answer.promise;
    },
  });
  const decide = (host: string) => policy.decide({ host, port: 443 });
  const waiting = Array.from({ length: MAX_LOOKUPS }, (_, n) => decide(`n${n}.example`));
  const refused = await decide("more.example");
  expect(refused).toMatchObject({ allowed: false, rule: "too many lookups" });
  expect(refusalText(refused)).toContain("too many names");
  // A program may open many connections to one host.
  waiting.push(decide("n0.example"));
  expect(asked).toHaveLength(MAX_LOOKUPS);
  answer.resolve(["93.184.216.34"]);
  for (const decision of await Promise.all(waiting)) expect(decision.allowed).toBe(true);
  expect(await decide("more.example")).toMatchObject({ allowed: true });
});

test("a lookup that fails makes room, and its failure is not kept", async () => {
  let fails = true;
  const resolve = limitLookups(async () => {
    if (fails) throw new Error("no answer in time");
    return ["192.0.2.1"];
  }, 1);
  const first = resolve("a.example");
  await expect(resolve("b.example")).rejects.toThrow(TooManyLookups);
  await expect(first).rejects.toThrow("no answer in time");
  fails = false;
  expect(await resolve("a.example")).toEqual(["192.0.2.1"]);
});
