import { afterEach, describe, expect, test } from "bun:test";
import type { ForgeHost } from "../../src/config/forge-hosts.ts";
import { credentialFound } from "../../src/doctor/credential.ts";
import { openForges } from "../../src/forges/open-forges.ts";
import { Secret } from "../../src/shared/secret.ts";
import { hostOf, TOKEN } from "../forges/fixture.ts";
import { startGiteaStandIn } from "../harness/gitea-stand-in.ts";
import type { StandInInstallation } from "../harness/github/state.ts";
import { downloadGithubDescriptions } from "../harness/github-description.ts";
import { startGithubStandIn } from "../harness/github-stand-in.ts";
import { startGitlabStandIn } from "../harness/gitlab-stand-in.ts";
import { useDoctor } from "./use-doctor.ts";

await downloadGithubDescriptions();
const { examined } = useDoctor();
const ended: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0)) await end();
});

/** The finding, as one text that has been searched for the token. */
async function found(host: ForgeHost, timeoutMs?: number) {
  const [forge] = openForges([host]).all;
  if (!forge) throw new Error("the host has no forge");
  const { status, detail, fix } = await credentialFound(forge, timeoutMs);
  const text = `${status}: ${detail}${fix === undefined ? "" : ` → ${fix}`}`;
  const { credential } = host;
  if (credential?.kind === "token") expect(text).not.toContain(credential.token.reveal());
  return text.replaceAll(new URL(host.url).host, "HOST");
}

async function github() {
  const standIn = await startGithubStandIn();
  ended.push(standIn.stop);
  return standIn;
}

describe("GitHub's", () => {
  const app = async (given: Partial<StandInInstallation> | undefined) => {
    const standIn = await github();
    const permissions = { contents: "write", pull_requests: "write", metadata: "read" };
    const installation = { id: 7, repositories: ["acme/shop"], permissions, suspended: false, ...given };
    return { standIn, credential: standIn.addApp({ installations: given ? [installation] : [] }) };
  };

  test("token is accepted, by whom is said", async () => {
    const standIn = await github();
    const name = "the token for HOST in FORGES";
    expect(await found(standIn.host(standIn.addToken({ login: "ada" })))).toBe(
      `ok: HOST accepts ${name} as ada`,
    );
    expect(await found(standIn.host(standIn.addToken({ scopes: "gist, repo" })))).toStartWith("ok: ");
    expect(standIn.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "GET /user",
      "GET /user",
    ]);
  });

  test("classic token lacks a scope", async () => {
    const standIn = await github();
    expect(await found(standIn.host(standIn.addToken({ scopes: "gist, read:org" })))).toBe(
      "warn: HOST accepts the token for HOST in FORGES as robot; it lacks the scope repo" +
        " → grant that at http://HOST, or make another one and set FORGES",
    );
    expect(await found(standIn.host(standIn.addToken({ scopes: "public_repo" })))).toContain(
      "it lacks the scope repo, without which it sees public repositories alone",
    );
  });

  test("token is refused", async () => {
    const standIn = await github();
    const wrong = { kind: "token", token: new Secret("github_pat_wrong") } as const;
    expect(await found({ ...standIn.host(wrong), setting: "GITHUB_TOKEN" })).toBe(
      "fail: HOST does not accept the credential with which to sign in (401: Bad credentials)." +
        " GITHUB_TOKEN is wrong, has expired or was revoked: configure another one." +
        " → make another one at http://HOST, and set GITHUB_TOKEN",
    );
  });

  test("token of an installation has no user, and is none the worse; one of a user who may not sign in is refused", async () => {
    const { standIn } = await app({});
    const refused = (message: string) => ({ status: 403, body: { message }, hostile: true as const });
    standIn.once(/\/user/, refused("Resource not accessible by integration"));
    const host = standIn.host(standIn.addToken());
    expect(await found(host)).toEndWith("in FORGES, which may not say whose it is");
    standIn.once(/\/user/, refused("Sorry. Your account was suspended."));
    expect(await found(host)).toStartWith(
      "fail: HOST does not permit to sign in (403: Sorry. Your account was suspended)",
    );
  });

  test("app is accepted, by its name", async () => {
    const { standIn, credential } = await app({});
    expect(await found(standIn.host(credential))).toBe(
      "ok: HOST accepts the app for HOST in FORGES as octoapp",
    );
  });

  test("app lacks permissions, or an installation", async () => {
    const narrow = await app({ permissions: { contents: "read", metadata: "read" } });
    expect(await found(narrow.standIn.host(narrow.credential))).toContain(
      "it lacks the permission contents=write, and the permission pull_requests=write →",
    );
    const nowhere = await app(undefined);
    expect(await found(nowhere.standIn.host(nowhere.credential))).toContain(
      "and an installation, without which it may see no repository",
    );
  });

  test("app has another key, or is none", async () => {
    const { standIn, credential } = await app({});
    const host = standIn.host({ ...credential, privateKey: (await app({})).credential.privateKey });
    expect(await found(host)).toMatch(/^fail: .*the private key is not this app's/);
    standIn.once(/\/app$/, { status: 404, body: { message: "Integration not found" }, hostile: true });
    expect(await found(standIn.host(credential))).toStartWith(
      "fail: There is no GitHub App 4711 at HOST: check the app's id.",
    );
  });
});

describe("GitLab's token", () => {
  const start = (...scopes: string[]) => {
    const standIn = startGitlabStandIn({ token: TOKEN });
    standIn.scopes.splice(0, 1, ...scopes);
    ended.push(async () => {
      await standIn.stop();
      expect(standIn.violations).toEqual([]);
    });
    return { standIn, host: hostOf("gitlab", standIn) };
  };

  test("is accepted, by whom is said", async () => {
    expect(await found(start("api").host)).toBe("ok: HOST accepts the token for HOST in FORGES as ann");
  });

  test("lacks a scope", async () => {
    expect(await found(start("read_api", "write_repository").host)).toStartWith(
      "warn: HOST accepts the token for HOST in FORGES as ann; it lacks the scope api",
    );
    expect(await found(start("write_repository").host)).toStartWith(
      "warn: HOST accepts the token for HOST in FORGES, which may not say whose it is; it lacks the scope api",
    );
  });

  test("that is no personal one tells no scopes, nor does a fine-grained one", async () => {
    const { standIn, host } = start("read_user");
    standIn.intrude(() => Response.json({ message: "400 Bad request" }, { status: 400 }));
    expect(await found(host)).toStartWith("ok: HOST accepts the token for HOST in FORGES as ann");
    const fine = start("granular");
    fine.standIn.intrude(({ path }) =>
      path === "/user" ? Response.json({ id: 1, username: "ben" }) : undefined,
    );
    expect(await found(fine.host)).toEndWith("as ben");
  });

  test("is refused", async () => {
    const { standIn } = start("api");
    expect(await found(hostOf("gitlab", standIn, "a-wrong-token"))).toMatch(
      /^fail: .*\(401: 401 Unauthorized\).*wrong, has expired/,
    );
  });
});

describe("Gitea's token", () => {
  const start = async () => {
    const standIn = await startGiteaStandIn({ token: TOKEN });
    ended.push(async () => {
      await standIn.stop();
      expect(standIn.violations).toEqual([]);
    });
    return standIn;
  };

  test("is accepted; one for repositories alone may not say whose it is; a blocked user's is refused, and a wrong one", async () => {
    const standIn = await start();
    const host = hostOf("gitea", standIn);
    expect(await found(host)).toBe("ok: HOST accepts the token for HOST in FORGES as robot");
    const refused = (message: string) => standIn.intrude(() => Response.json({ message }, { status: 403 }));
    refused(
      "token does not have at least one of required scope(s), required=[read:user], token scope=write:repository",
    );
    expect(await found(host)).toEndWith("which may not say whose it is");
    refused("This account is prohibited from signing in, please contact your site administrator.");
    expect(await found(host)).toMatch(
      /^fail: HOST does not permit to sign in \(403: This account is prohibited/,
    );
    expect(await found(hostOf("gitea", standIn, "a-wrong-token"))).toStartWith("fail: ");
  });

  test("cannot be tried while the host is away, slow, or limits requests: that is a warning", async () => {
    const standIn = await start();
    const host = hostOf("gitea", standIn);
    const fix = ` → check that this machine can reach ${host.apiUrl}`.replaceAll(
      new URL(host.url).host,
      "HOST",
    );
    standIn.intrude(() => new Response("busy", { status: 503 }));
    expect(await found(host)).toMatch(/^warn: HOST failed to sign in \(503\)\./);
    standIn.intrude(() => new Response("", { status: 429 }));
    expect(await found(host)).toStartWith("warn: HOST limits the number of requests");
    standIn.intrude(() => new Response(new ReadableStream()));
    expect(await found(host, 200)).toStartWith(
      `warn: HOST did not answer to the token for HOST in FORGES within 0.2 s${fix}`,
    );
    await standIn.stop();
    expect(await found(host)).toStartWith("warn: HOST could not be reached");
  });

  test("is no use at another address than that of the API", async () => {
    const standIn = await start();
    standIn.intrude(() => Response.json({ message: "Not found" }, { status: 404 }));
    expect(await found(hostOf("gitea", standIn))).toMatch(
      /^fail: HOST has not found .* → check that its API is at /,
    );
  });

  test("does not bring what a host sends to the terminal", async () => {
    const standIn = await start();
    standIn.intrude(() => Response.json({ id: 1, login: "ada\u001b[2J\n\u202eok" }));
    expect(await found(hostOf("gitea", standIn))).toEndWith("as ada [2J ok");
  });
});

test("prompt-backend doctor has a line for each credential, at the same time; a refused one fails it", async () => {
  const gitea = await startGiteaStandIn({ token: TOKEN });
  const gitlab = startGitlabStandIn({ token: TOKEN });
  ended.push(gitea.stop, gitlab.stop);
  // Each answers when both have been asked.
  const both = Promise.withResolvers<void>();
  let asked = 0;
  for (const standIn of [gitea, gitlab])
    standIn.intrude(({ path }) => {
      asked += 1;
      if (asked === 2) both.resolve();
      const body = path === "/user" ? { login: "robot" } : { scopes: ["api"] };
      return new Response(
        new ReadableStream({
          async start(controller) {
            await both.promise;
            controller.enqueue(new TextEncoder().encode(JSON.stringify(body)));
            controller.close();
          },
        }),
      );
    });
  const listed = (token: string) =>
    JSON.stringify([
      { kind: "gitea", host: gitea.url, token },
      { kind: "gitlab", host: gitlab.url, token: TOKEN },
    ]);
  const good = await examined({ FORGES: listed(TOKEN) });
  const of = ({ checks }: typeof good) =>
    checks.filter(({ check }) => check === "git credential").map(({ detail }) => detail);
  expect(of(good)).toEqual([expect.stringContaining(" as robot"), expect.stringContaining(" as ann")]);
  expect(good.code).toBe(0);
  const bad = await examined({ FORGES: listed("a-token-of-nobody") });
  expect([bad.code, of(bad)[0]]).toEqual([1, expect.stringContaining("wrong, has expired or was revoked")]);
  for (const { text } of [good, bad]) expect(text).not.toMatch(/a-token-/);
});
