import { describe, expect, test } from "bun:test";
import { addServer, clientAddress } from "../../src/server/client-address.ts";

describe("the client address", () => {
  const addressOf = (seen: string, forwarded: string | undefined, hops: number) => {
    const request = new Request("http://localhost/", {
      headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded },
    });
    const remove = addServer({ requestIP: () => ({ address: seen }) } as never);
    try {
      return clientAddress(request, hops);
    } finally {
      remove();
    }
  };
  test.each([
    ["10.0.0.1", undefined, 0, "10.0.0.1"],
    ["10.0.0.1", "6.6.6.6", 0, "10.0.0.1"],
    ["10.0.0.1", "6.6.6.6, 203.0.113.7", 1, "203.0.113.7"],
    ["10.0.0.1", "6.6.6.6, 203.0.113.7, 10.0.0.2", 2, "203.0.113.7"],
    ["10.0.0.1", "203.0.113.7", 2, "10.0.0.1"],
    ["10.0.0.1", "nonsense", 1, "10.0.0.1"],
    ["10.0.0.1", undefined, 1, "10.0.0.1"],
    ["::ffff:10.0.0.1", undefined, 0, "10.0.0.1"],
    ["::ffff:a00:1", undefined, 0, "10.0.0.1"],
    ["10.0.0.9", "::ffff:cb00:7107", 1, "203.0.113.7"],
    ["10.0.0.9", "0x7f.1", 1, "10.0.0.9"],
    ["2001:db8:1:2:3:4:5:6", undefined, 0, "2001:db8:1:2::/64"],
    ["2001:db8::9", undefined, 0, "2001:db8:0:0::/64"],
    ["::1", undefined, 0, "0:0:0:0::/64"],
    ["fe80::1%eth0", undefined, 0, "fe80:0:0:0::/64"],
    ["10.0.0.9", "fe80::1%eth0.100", 1, "fe80:0:0:0::/64"],
    ["::%lo:1", undefined, 0, "0:0:0:0::/64"],
  ])("with peer %s, X-Forwarded-For %p and %i trusted proxies is %s", (seen, forwarded, hops, expected) => {
    expect(addressOf(seen, forwarded, hops)).toBe(expected);
  });
});
