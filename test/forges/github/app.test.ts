import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { inspect } from "node:util";
import type { ForgeCredential } from "../../../src/config/forge-hosts.ts";
import { mintGitToken } from "../../../src/forges/github/app-tokens.ts";
import { Secret } from "../../../src/shared/secret.ts";
import { refusal } from "../../harness/github/replies.ts";
import { addPull, type StandInInstallation } from "../../harness/github/state.ts";
import { faultOf, NEW, REPOSITORY, startGithub, WORK, within } from "./fixture.ts";

const ALL = { contents: "write", pull_requests: "write", checks: "read", statuses: "read", metadata: "read" };

async function startWithApp(given: Partial<StandInInstallation> & { format?: "pkcs1" | "pkcs8" } = {}) {
  const started = await startGithub();
  const { github } = started;
  github.addRepository("acme/other");
  const { format, ...installation } = given;
  const app = github.addApp({
    installations: [
      {
        id: 7,
        repositories: ["acme/shop", "acme/other"],
        permissions: ALL,
        suspended: false,
        ...installation,
      },
    ],
    ...(format && { format }),
  });
  const gitToken = (access: "read" | "write", credential: Extract<ForgeCredential, { kind: "app" }> = app) =>
    mintGitToken({ host: github.host(credential), app: credential }, REPOSITORY.path, access, within());
  return { ...started, app, gitToken, forge: started.forgeWith(app) };
}

describe("tokens of a GitHub App for git", () => {
  test.each([
    ["read", { contents: "read", metadata: "read" }],
    ["write", { contents: "write", metadata: "read" }],
  ] as const)("to %s are for one repository and that alone", async (access, permissions) => {
    const { github, gitToken } = await startWithApp();
    const token = await gitToken(access);
    expect(github.tokens).toHaveLength(1);
    expect(github.tokens[0]).toMatchObject({
      value: token.reveal(),
      repositories: ["acme/shop"],
      permissions,
      installation: 7,
    });
  });

  test("may push workflows where the operator has granted that to the app, and never to read", async () => {
    const { github, gitToken } = await startWithApp({ permissions: { ...ALL, workflows: "write" } });
    await gitToken("write");
    await gitToken("read");
    expect(github.tokens.map(({ permissions }) => permissions)).toEqual([
      { contents: "write", workflows: "write", metadata: "read" },
      { contents: "read", metadata: "read" },
    ]);
  });

  test("are made anew for the push of a run that has outlived the first one", async () => {
    const { github, gitToken } = await startWithApp();
    const first = await gitToken("read");
    github.expireAppTokens();
    const second = await gitToken("write");
    expect(second.reveal()).not.toBe(first.reveal());
    expect(github.tokens.filter(({ expiresAt }) => expiresAt > Date.now()).map(({ value }) => value)).toEqual(
      [second.reveal()],
    );
  });

  test.each(["pkcs1", "pkcs8"] as const)("are asked for with a key in %s", async (format) => {
    const { gitToken } = await startWithApp({ format });
    expect((await gitToken("read")).reveal()).toStartWith("ghs_");
  });

  test.each([
    ["an hour behind", 3_600_000],
    ["an hour ahead", -3_600_000],
  ])("are made although the clock here is %s", async (_name, ahead) => {
    const { github, gitToken } = await startWithApp();
    github.setClock({ ahead });
    expect((await gitToken("read")).reveal()).toStartWith("ghs_");
  });
});

describe("a GitHub App that cannot have a token", () => {
  const other = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  }).privateKey;

  test.each([
    ["is not installed there", { repositories: [] }, "missing", "is not installed for acme/shop"],
    ["is suspended", { suspended: true }, "forbidden", "is suspended for acme/shop"],
    [
      "lacks a permission",
      { permissions: { metadata: "read", contents: "read" } },
      "forbidden",
      "lacks the permission contents=write for acme/shop: grant it in the app's settings",
    ],
  ] as const)("%s", async (_name, installation, fault, words) => {
    const { github, gitToken } = await startWithApp(installation);
    const error = await faultOf(gitToken("write"));
    expect(error.fault).toBe(fault);
    expect(error.message).toContain(words);
    expect(github.tokens).toEqual([]);
  });

  test("because its key is another app's", async () => {
    const { app, gitToken } = await startWithApp();
    const error = await faultOf(gitToken("read", { ...app, privateKey: new Secret(other) }));
    expect(error.fault).toBe("unauthorised");
    expect(error.message).toContain("the private key is not this app's");
  });

  test("because its key is none: nothing of it is told", async () => {
    const { github, app, gitToken } = await startWithApp();
    const broken = new Secret(other.slice(0, 400));
    const error = await faultOf(gitToken("read", { ...app, privateKey: broken }));
    expect(error.fault).toBe("unauthorised");
    expect(error.message).toContain("its private key cannot be read. Set GITHUB_APP_PRIVATE_KEY");
    for (const line of other.split("\n").slice(1, 5))
      expect(inspect(error, { depth: 10 })).not.toContain(line);
    expect(github.requests).toEqual([]);
  });

  test("because the token would be for more than the repository", async () => {
    const { github, gitToken } = await startWithApp();
    github.once(/access_tokens$/, async (_request, proceed) => {
      const reply = await proceed();
      const body = reply.body as { repositories: [object] };
      return { ...reply, body: { ...body, repositories: [...body.repositories, ...body.repositories] } };
    });
    const error = await faultOf(gitToken("read"));
    expect(error.message).toContain("made a token for other repositories than acme/shop; it is not used");
  });
});

describe("pull requests by a GitHub App", () => {
  test("have tokens for the permissions of each step, for the repository alone", async () => {
    const { github, forge } = await startWithApp();
    await forge.createPullRequest(REPOSITORY, NEW, within());
    await forge.readPullRequest(REPOSITORY, 1, within());
    await forge.mergePullRequest(REPOSITORY, 1, { head: WORK, method: "merge" }, within());
    expect(github.tokens.map(({ permissions }) => permissions)).toEqual([
      { metadata: "read", pull_requests: "write" },
      { metadata: "read", pull_requests: "read", checks: "read", statuses: "read" },
      { metadata: "read", pull_requests: "write", contents: "write" },
    ]);
    for (const { repositories } of github.tokens) expect(repositories).toEqual(["acme/shop"]);
  });

  test("are read without checks by an app that may not see them", async () => {
    const { repository, forge } = await startWithApp({
      permissions: { metadata: "read", pull_requests: "read", statuses: "read" },
    });
    addPull(repository, NEW);
    expect(await forge.readPullRequest(REPOSITORY, 1, within())).toMatchObject({ checks: null, reviews: [] });
  });

  test("go on with a new token when theirs expires between two requests", async () => {
    const { github, repository, forge } = await startWithApp();
    addPull(repository, NEW);
    github.once(/reviews$/, (_request, proceed) => {
      github.expireAppTokens();
      return proceed();
    });
    // Its request has been let through: the next ones are refused.
    const wanted = { labels: ["agent"], reviewers: ["ada"] };
    expect(await forge.decoratePullRequest(REPOSITORY, 1, wanted, within())).toEqual([]);
    expect(repository.pulls[0]).toMatchObject({ labels: ["agent"], reviewers: ["ada"] });
    expect(github.tokens).toHaveLength(2);
  });

  test("end when a new token is refused as well", async () => {
    const { github, forge } = await startWithApp();
    for (let time = 0; time < 2; time += 1) github.once(/^POST .*\/pulls$/, refusal(401, "Bad credentials"));
    const fault = await faultOf(forge.createPullRequest(REPOSITORY, NEW, within()));
    expect(fault.fault).toBe("unauthorised");
    expect(github.tokens).toHaveLength(2);
  });
});
