import { expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { gitHostFound } from "../../src/doctor/git-host.ts";
import { Secret } from "../../src/shared/secret.ts";

const found = (url: string, addresses: string[] | undefined, privateGitHosts?: string[], token?: string) =>
  gitHostFound(
    {
      ...{ kind: "gitea", url, apiUrl: `${url}/api/v1`, setting: "FORGES" },
      credential: token === undefined ? undefined : { kind: "token", token: new Secret(token) },
    },
    {
      privateGitHosts,
      async resolve() {
        if (!addresses) throw new Error("not found");
        return addresses;
      },
    },
  );

test.each([
  ["https://git.example", ["10.0.0.7", "fd00::7"]],
  ["https://git.example:8443", ["127.0.0.1"]],
  ["http://192.168.1.4", undefined],
  ["http://[::1]:3000", undefined],
  [
    "https://git.example",
    Object.values(networkInterfaces()).flatMap((all) => all?.map((one) => one.address) ?? []),
  ],
])("%s at %p: git is refused, and the hint names the variable", async (url, addresses) => {
  const result = await found(url, addresses);
  expect([result?.status, result?.detail]).toEqual(["warn", expect.stringContaining("private address")]);
  expect(result?.fix).toContain(`PRIVATE_GIT_HOSTS=${new URL(url).hostname}`);
});

test("a public address, and a private one of a listed host, are fine; a name that does not resolve is left out", async () => {
  expect((await found("https://git.example", ["10.0.0.7", "140.82.121.4"]))?.status).toBe("ok");
  for (const listed of ["git.example", "git.example:443"])
    expect((await found("https://git.example", ["10.0.0.7"], [listed]))?.status).toBe("ok");
  expect((await found("https://git.example", ["10.0.0.7"], ["git.example:8443"]))?.status).toBe("warn");
  expect(await found("https://git.example", undefined)).toBeUndefined();
});

test("the credential is named, and not shown", async () => {
  const signedIn = await found("https://git.example", ["140.82.121.4"], [], "t-secret");
  expect(signedIn?.detail).toBe("git.example has a public address; the token for git.example in FORGES");
  const without = await found("https://git.example", ["140.82.121.4"]);
  expect(without?.detail).toEndWith("no credential: it can only read what is public");
});
