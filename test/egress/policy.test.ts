import { describe, expect, test } from "bun:test";
import { egressRules } from "../../src/config/egress-rules.ts";
import { hostOf, isPublic } from "../../src/egress/addresses.ts";
import { createPolicy } from "../../src/egress/policy.ts";

/** A policy, with a resolver that is a table. Nothing is ever dialled here. */
function policyOf(mode: "deny" | "list" | "open", allow = "", names: Record<string, string[]> = {}) {
  const asked: string[] = [];
  const policy = createPolicy({
    mode,
    allow: egressRules(allow),
    async resolve(name) {
      asked.push(name);
      return names[name] ?? [];
    },
  });
  const allows = async (host: string, port = 443, http?: { method: string; path: string }) =>
    (await policy.decide({ host, port, http })).allowed;
  return { asked, policy, allows };
}

const PUBLIC = "93.184.216.34";

describe("addresses", () => {
  test.each([PUBLIC, "8.8.8.8", "2606:2800:220:1::1", "172.32.0.1", "100.128.0.1", "192.169.0.1"])(
    "%s is public",
    (address) => expect(isPublic(address)).toBe(true),
  );

  test.each([
    ["0.0.0.0", "unspecified"],
    ["127.0.0.1", "loopback"],
    ["127.255.255.254", "loopback"],
    ["10.1.2.3", "private"],
    ["172.16.0.1", "private"],
    ["192.168.0.1", "private"],
    ["169.254.169.254", "metadata of clouds"],
    ["169.254.170.2", "metadata of containers"],
    ["100.64.0.1", "carrier-grade NAT"],
    ["100.100.100.200", "metadata of Alibaba"],
    ["168.63.129.16", "Azure's host agent"],
    ["192.0.0.192", "metadata of Oracle"],
    ["192.88.99.1", "6to4 relay"],
    ["198.18.0.1", "benchmarks"],
    ["192.0.2.1", "documentation"],
    ["224.0.0.1", "multicast"],
    ["240.0.0.1", "reserved"],
    ["255.255.255.255", "broadcast"],
    ["::", "unspecified"],
    ["::1", "loopback"],
    ["::ffff:127.0.0.1", "IPv4-mapped"],
    ["::ffff:8.8.8.8", "IPv4-mapped"],
    ["::127.0.0.1", "IPv4-compatible"],
    ["64:ff9b::7f00:1", "NAT64"],
    ["64:ff9b:1::7f00:1", "NAT64 of a site"],
    ["2002:7f00:1::", "6to4"],
    ["2001:0:7f00:1::", "Teredo"],
    ["fe80::1", "link-local"],
    ["fec0::1", "site-local"],
    ["fc00::1", "unique local"],
    ["fd00:ec2::254", "metadata of Amazon"],
    ["ff02::1", "multicast"],
    ["2001:db8::1", "documentation"],
    ["3fff::1", "documentation"],
    ["5f00::1", "segment routing"],
    ["4000::1", "not assigned"],
    ["fe80::1%eth0", "with a zone"],
    ["0x7f.1", "no resolver's spelling"],
    ["", "nothing"],
  ])("%s is not public: %s", (address) => expect(isPublic(address)).toBe(false));
});

describe("one spelling", () => {
  test.each([
    ["EXAMPLE.com.", "example.com"],
    ["bücher.example", "xn--bcher-kva.example"],
    ["0x7f.1", "127.0.0.1"],
    ["0x7f000001", "127.0.0.1"],
    ["2130706433", "127.0.0.1"],
    ["017700000001", "127.0.0.1"],
    ["127.1", "127.0.0.1"],
    ["127.0.0.1.", "127.0.0.1"],
    ["0", "0.0.0.0"],
    ["１２７。０。０。１", "127.0.0.1"],
    ["\u00ad127.1", "127.0.0.1"],
    ["[::1]", "::1"],
    ["[0:0::0:1]", "::1"],
    ["[::ffff:127.0.0.1]", "::ffff:7f00:1"],
  ])("%s is %s", (text, name) => expect(hostOf(text)?.name).toBe(name));

  test.each([
    "",
    ".",
    "a..b",
    "256.1.1.1",
    "1.2.3.4.5",
    "::1",
    "[::1",
    "[::1%25lo]",
    "[127.0.0.1]",
    "%31%32%37.1",
    "a b",
    "a@b",
    "a/b",
    "a\\b",
    "a#b",
    "a?b",
    "a:80",
    "a\0b",
    "a".repeat(64),
    `${"a.".repeat(126)}aa`,
  ])("%j is no host", (text) => expect(hostOf(text)).toBeUndefined());
});

describe("EGRESS", () => {
  test("deny refuses everything, without a look at the name", async () => {
    const { allows, asked } = policyOf("deny", `example.com,${PUBLIC}`, { "example.com": [PUBLIC] });
    for (const host of ["example.com", PUBLIC, "127.0.0.1"]) expect(await allows(host)).toBe(false);
    expect(asked).toEqual([]);
  });

  test("list allows what is listed; other names are not even resolved, which could carry data away", async () => {
    const names = { "example.com": [PUBLIC], "evilexample.com": [PUBLIC], "a.example.com": [PUBLIC] };
    const { allows, asked } = policyOf("list", "example.com", names);
    expect(await allows("Example.COM.")).toBe(true);
    expect(await allows("example.com", 80)).toBe(true);
    expect(await allows("example.com", 22)).toBe(false);
    expect(await allows("evilexample.com")).toBe(false);
    expect(await allows("a.example.com")).toBe(false);
    expect(await allows("secret.attacker.example")).toBe(false);
    expect(await allows(PUBLIC)).toBe(false);
    expect(asked).toEqual(["example.com", "example.com"]);
  });

  test("a suffix matches neither the domain itself, nor a name that only ends alike, nor an address", async () => {
    const names = Object.fromEntries(
      ["example.com", "evilexample.com", "a.example.com", "b.a.example.com"].map((one) => [one, [PUBLIC]]),
    );
    const { allows } = policyOf("list", "*.example.com,*.34", names);
    expect(await allows("a.example.com")).toBe(true);
    expect(await allows("b.a.example.com")).toBe(true);
    expect(await allows("example.com")).toBe(false);
    expect(await allows("evilexample.com")).toBe(false);
    expect(await allows(PUBLIC)).toBe(false);
  });

  test("open allows every public address, and every port but that of mail", async () => {
    const { allows } = policyOf("open", "10.0.0.5:4873", { "example.com": [PUBLIC] });
    expect(await allows("example.com", 8_443)).toBe(true);
    expect(await allows(PUBLIC, 22)).toBe(true);
    expect(await allows("example.com", 25)).toBe(false);
    for (const host of ["127.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"])
      expect(await allows(host)).toBe(false);
    expect(await allows("10.0.0.5", 4_873)).toBe(true);
    expect(await allows("10.0.0.5", 443)).toBe(false);
  });

  test("an address is allowed in every spelling, and at its port alone", async () => {
    const { allows } = policyOf("list", "127.0.0.1:4873,[fd00::5]:80");
    for (const host of ["127.0.0.1", "127.1", "0x7f000001"]) {
      expect(await allows(host, 4_873)).toBe(true);
      expect(await allows(host, 443)).toBe(false);
    }
    expect(await allows("[fd00:0::5]", 80)).toBe(true);
    expect(await allows("[fd00::6]", 80)).toBe(false);
  });
});

describe("names that lead to private addresses", () => {
  test("of several addresses only the permitted ones are dialled; a name without one is refused", async () => {
    const { policy } = policyOf("list", "mixed.example,inside.example,metadata.example,none.example", {
      "mixed.example": ["127.0.0.1", PUBLIC, "::1"],
      "inside.example": ["10.0.0.5"],
      "metadata.example": ["169.254.169.254", "fd00:ec2::254"],
    });
    const decide = (host: string) => policy.decide({ host, port: 443 });
    expect(await decide("mixed.example")).toMatchObject({ allowed: true, addresses: [PUBLIC] });
    for (const host of ["inside.example", "metadata.example"])
      expect(await decide(host)).toMatchObject({ allowed: false, rule: "private address", addresses: [] });
    expect(await decide("none.example")).toMatchObject({ allowed: false, rule: "the name does not resolve" });
  });

  test("a private address that is listed itself is permitted, at that port", async () => {
    const { allows } = policyOf("list", "inside.example:4873,inside.example:443,10.0.0.5:4873", {
      "inside.example": ["10.0.0.5"],
    });
    expect(await allows("inside.example", 4_873)).toBe(true);
    expect(await allows("inside.example", 443)).toBe(false);
  });

  test("hosts that the operator names may be private: PRIVATE_GIT_HOSTS", async () => {
    const policy = createPolicy({
      mode: "deny",
      allow: undefined,
      needed: egressRules("git.example:443,other.example:443"),
      privateHosts: ["git.example"],
      resolve: async () => ["10.0.0.5"],
    });
    expect((await policy.decide({ host: "git.example", port: 443 })).allowed).toBe(true);
    expect((await policy.decide({ host: "other.example", port: 443 })).allowed).toBe(false);
  });

  test("what a project allows opens neither private addresses nor mail, and nothing where the operator allows nothing", async () => {
    const names: Record<string, string[]> = {
      "in.example": ["10.0.0.5"],
      "both.example": ["10.0.0.5", PUBLIC],
    };
    const of = (mode: "deny" | "list" | "open", allow = "") => {
      const policy = createPolicy({
        ...{ mode, allow: egressRules(allow), resolve: async (name: string) => names[name] ?? [PUBLIC] },
        publicOnly: egressRules(
          `out.example,*.wild.example:8443,out.example:25,in.example,both.example,${PUBLIC},10.0.0.5`,
        ),
      });
      return async (host: string, port = 443) => {
        const { allowed, rule, addresses } = await policy.decide({ host, port, http: undefined });
        return allowed ? addresses : rule;
      };
    };
    const list = of("list", "operator.example");
    expect(await list("out.example")).toEqual([PUBLIC]);
    expect(await list("a.wild.example", 8443)).toEqual([PUBLIC]);
    expect(await list(PUBLIC)).toEqual([PUBLIC]);
    expect(await list("operator.example")).toEqual([PUBLIC]);
    expect(await list("other.example")).toBe("not in EGRESS_ALLOW");
    for (const mode of ["list", "open"] as const) {
      expect(await of(mode)("in.example")).toBe("private address");
      expect(await of(mode)("10.0.0.5")).toBe("private address");
      expect(await of(mode)("both.example")).toEqual([PUBLIC]);
      expect(await of(mode)("out.example", 25)).toBeString();
    }
    expect(await of("deny")("out.example")).toBe("EGRESS=deny");
    // What the operator allows by its address stays so, by a name of the project's, too.
    expect(await of("list", "10.0.0.5")("in.example")).toEqual(["10.0.0.5"]);
  });

  test("rebinding: a name is resolved once, and the answer is what is dialled", async () => {
    const answers = [[PUBLIC], ["127.0.0.1"]];
    const policy = createPolicy({
      mode: "open",
      allow: undefined,
      resolve: async () => answers.shift() ?? [],
    });
    const decision = await policy.decide({ host: "rebind.example", port: 80 });
    expect(decision).toMatchObject({ allowed: true, addresses: [PUBLIC] });
    expect(answers).toHaveLength(1);
  });

  test("the machine's own public address is none: what is bound to all addresses listens there, too", async () => {
    const own = { ownAddresses: () => ["203.0.114.7", "2606:2800:220:1:0:0:0:7"] };
    const resolve = async () => ["203.0.114.7", "2606:2800:220:1::7"];
    const policy = createPolicy({ mode: "open", allow: undefined, resolve, ...own });
    for (const host of ["203.0.114.7", "[2606:2800:220:1::7]", "own.example"])
      expect(await policy.decide({ host, port: 8_000 })).toMatchObject({
        allowed: false,
        rule: "private address",
      });
    expect(await policy.decide({ host: "203.0.114.8", port: 8_000 })).toMatchObject({ allowed: true });
    const allow = egressRules("203.0.114.7:8000");
    const listed = createPolicy({ mode: "list", allow, resolve, ...own });
    expect(await listed.decide({ host: "203.0.114.7", port: 8_000 })).toMatchObject({ allowed: true });
  });

  test("a resolver that fails refuses", async () => {
    const policy = createPolicy({
      mode: "open",
      allow: undefined,
      resolve: () => Promise.reject(new Error("no answer in time")),
    });
    expect(await policy.decide({ host: "example.com", port: 80 })).toMatchObject({ allowed: false });
  });
});

describe("rules for plain HTTP", () => {
  const { allows } = policyOf("list", `GET|HEAD http://${PUBLIC}/debian/*,http://${PUBLIC}:8080/only`);
  const get = (path: string, method = "GET", port = 80) => allows(PUBLIC, port, { method, path });

  test("cover their methods and paths", async () => {
    expect(await get("/debian/pool/a%2bb_1.deb")).toBe(true);
    expect(await get("/debian/", "HEAD")).toBe(true);
    expect(await get("/only", "GET", 8_080)).toBe(true);
    for (const [path, method, port] of [
      ["/debian/a", "POST", 80],
      ["/debian/a", "get", 80],
      ["/debian", "GET", 80],
      ["/debianx/a", "GET", 80],
      ["/Debian/a", "GET", 80],
      ["/", "GET", 80],
      ["/debian/a", "GET", 8_080],
      ["/only/more", "GET", 8_080],
    ] as const)
      expect([path, method, port, await get(path, method, port)]).toEqual([path, method, port, false]);
  });

  test.each([
    "/debian/../secret",
    "/debian/..",
    "/debian/./a",
    "/debian/%2e%2e/secret",
    "/debian/%2E./secret",
    "/debian/..%2fsecret",
    "/debian/%252e%252e/secret",
    "/debian/..;/secret",
    "/debian/a;b",
    "/debian//secret",
    "//debian/a",
    "/debian/..\\secret",
    "/debian/%5c..",
    "/debian/%00",
    "/debian/%zz",
  ])("%s has two readings, and is refused", async (path) => expect(await get(path)).toBe(false));

  test("a tunnel to the same host is refused: nothing would look at its methods and paths", async () => {
    expect(await allows(PUBLIC, 80)).toBe(false);
  });
});
