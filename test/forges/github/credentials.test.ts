import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { inspect } from "node:util";
import { createLogger } from "../../../src/observability/logger.ts";
import { Secret } from "../../../src/shared/secret.ts";
import { refusal } from "../../harness/github/replies.ts";
import { addPull } from "../../harness/github/state.ts";
import { faultOf, NEW, REPOSITORY, startGithub, within } from "./fixture.ts";

describe("a token for GitHub", () => {
  test("that is wrong is told apart", async () => {
    const { forgeWith } = await startGithub();
    const wrong = { kind: "token" as const, token: new Secret("github_pat_wrong") };
    const fault = await faultOf(forgeWith(wrong).createPullRequest(REPOSITORY, NEW, within()));
    expect(fault.fault).toBe("unauthorised");
    expect(fault.message).toContain("(401: Bad credentials)");
    expect(fault.message).toMatch(/ The token for \S+ in FORGES is wrong, has expired or was revoked/);
  });

  test("that lacks a permission: GitHub says which", async () => {
    const { github, forgeWith } = await startGithub();
    const reader = github.addToken({ permissions: { pull_requests: "read" } });
    const fault = await faultOf(forgeWith(reader).createPullRequest(REPOSITORY, NEW, within()));
    expect(fault.fault).toBe("forbidden");
    expect(fault.message).toContain("Resource not accessible by personal access token");
    expect(fault.message).toMatch(/ The token for \S+ in FORGES needs the permission pull_requests=write\.$/);
  });

  test("that may not label is told both of the permissions that would do", async () => {
    const { github, repository, forgeWith } = await startGithub();
    addPull(repository, NEW);
    const reader = github.addToken({ permissions: { pull_requests: "read" } });
    const wanted = { labels: ["agent"], reviewers: [] };
    expect(await forgeWith(reader).decoratePullRequest(REPOSITORY, 1, wanted, within())).toEqual([
      expect.stringContaining("needs the permission issues=write or pull_requests=write."),
    ]);
  });

  test("of another repository sees none", async () => {
    const { github, forgeWith } = await startGithub();
    const other = github.addToken({ repositories: ["acme/other"] });
    const fault = await faultOf(forgeWith(other).findPullRequest(REPOSITORY, NEW, within()));
    expect(fault.fault).toBe("missing");
    expect(fault.message).toContain("what may not be seen is not found");
  });

  test("without the organisation's single sign-on is told so, and no address of the host's choice", async () => {
    const { github, forgeWith } = await startGithub();
    const forge = forgeWith(github.addToken());
    github.once(
      /pulls/,
      refusal(403, "Resource protected by organization SAML enforcement.", {
        headers: { "x-github-sso": "required; url=https://evil.example/sso" },
      }),
    );
    const fault = await faultOf(forge.findPullRequest(REPOSITORY, NEW, within()));
    expect(fault.message).toContain("authorised for the organisation's single sign-on");
    expect(fault.message).not.toContain("evil.example");
  });

  test("is not needed to read what is public, and is to write", async () => {
    const { repository, forgeWith } = await startGithub({ repository: { private: false } });
    addPull(repository, NEW);
    const forge = forgeWith();
    expect(await forge.readPullRequest(REPOSITORY, 1, within())).toMatchObject({ number: 1, checks: [] });
    const fault = await faultOf(forge.createPullRequest(REPOSITORY, { ...NEW, head: "main" }, within()));
    expect(fault.fault).toBe("unauthorised");
    expect(fault.message).toEndWith("Configure a token or a GitHub App for this host.");
  });
});

describe("what the client of GitHub prints", () => {
  const printed = (["log", "info", "warn", "error", "debug"] as const).map((name) => spyOn(console, name));
  afterEach(() => {
    for (const spy of printed) spy.mockClear();
  });

  test("is nothing, whatever GitHub answers, and errors and logs have nothing of the token", async () => {
    const { github, repository, forgeWith } = await startGithub();
    addPull(repository, NEW);
    const credential = github.addToken();
    const forge = forgeWith(credential);
    const secret = credential.token.reveal();
    const lines: string[] = [];
    const logger = createLogger({ level: "debug", write: (line) => void lines.push(line) });
    const faults = [];
    for (const status of [401, 403, 404, 422]) {
      github.once(/./, {
        status,
        body: {
          message: `no, ${secret}`,
          errors: [{ code: "custom", message: secret }],
          documentation_url: secret,
        },
        headers: { deprecation: "true", sunset: secret, link: `<${secret}>; rel="deprecation"` },
        hostile: true,
      });
      faults.push(await faultOf(forge.findPullRequest(REPOSITORY, NEW, within())));
    }
    github.once(/GET .*\/pulls$/, async (_request, proceed) => {
      const { status, body } = await proceed();
      const [pull] = body as [object];
      return { status, body: [{ ...pull, title: `Quotes ${secret}` }], headers: { deprecation: "true" } };
    });
    const found = await forge.findPullRequest(REPOSITORY, NEW, within());
    expect(found?.title).toBe("Quotes ***");
    for (const error of faults) {
      logger.error("failed", { error });
      expect(error.message).toContain("***");
    }
    expect(faults.map((error) => inspect(error, { depth: 10 })).join() + lines.join()).not.toContain(secret);
    for (const spy of printed) expect(spy).not.toHaveBeenCalled();
  });
});
