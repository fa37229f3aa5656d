import { afterEach, describe, expect, test } from "bun:test";
import type { StandInReply } from "../../harness/github/replies.ts";
import { addPull } from "../../harness/github/state.ts";
import { faultOf, NEW, REPOSITORY, startGithub, within } from "./fixture.ts";

const READ = /^GET .*\/pulls\/1$/;

const started = async () => {
  const { github, repository, forgeWith } = await startGithub();
  addPull(repository, NEW);
  const credential = github.addToken();
  const forge = forgeWith(credential);
  return { github, credential, read: () => forge.readPullRequest(REPOSITORY, 1, within()), forge };
};

describe("a GitHub that does not keep to its description", () => {
  const changed = (field: string, value: unknown): [string, (body: object) => unknown] => [
    `whose ${field} is ${JSON.stringify(value)?.slice(0, 40)}`,
    (body) => ({ ...body, [field]: value }),
  ];
  test.each([
    changed("number", "1"),
    changed("number", -1),
    changed("number", 2 ** 60),
    changed("title", null),
    changed("state", "merged; drop table"),
    changed("created_at", "yesterday"),
    changed("merged_at", "2026-13-01T00:00:00Z"),
    changed("draft", "no"),
    changed("mergeable", 1),
    changed("head", { ref: "main", sha: "../../etc", repo: null }),
    changed("head", { ref: "x".repeat(2_000), sha: "0".repeat(40), repo: null }),
    changed("base", undefined),
    changed("requested_reviewers", [{ login: 7 }]),
    changed("labels", "all"),
    ["that is a list", (body) => [body]],
    ["that is null", () => null],
    ["that is a page", () => "<html>sign in</html>"],
    ["that is empty", () => ""],
    ["that is deep", () => "[".repeat(100_000)],
  ])("a pull request %s is not believed", async (_name, change) => {
    const { github, read } = await started();
    github.once(READ, async (_request, proceed) => {
      const { body } = await proceed();
      return { status: 200, body: change(body as object), hostile: true };
    });
    const fault = await faultOf(read());
    expect(fault.fault).toBe("unavailable");
    expect(fault.message).toMatch(/sent a reply that is not as its API is documented \(at .+\)/);
    expect(fault.message.length).toBeLessThan(300);
  });

  test("a reply of more than 8 MiB is not read to its end, and not asked for again", async () => {
    const { github, read } = await started();
    github.once(READ, { status: 200, body: JSON.stringify("x".repeat(8 * 1024 * 1024)), hostile: true });
    const fault = await faultOf(read());
    expect(fault.fault).toBe("unavailable");
    expect(fault.message).toContain("could not be read: it broke off, or was too large");
    expect(github.requests).toHaveLength(1);
  });

  test.each<[string, StandInReply, string]>([
    ["long words", { status: 422, body: { message: "x".repeat(100_000) } }, "(422: xxx"],
    ["words of many lines", { status: 422, body: { message: "a\n\u001b[31mb\u202ec" } }, "(422: a [31mb c)"],
    ["no words", { status: 418, body: "" }, "(418)."],
    ["words of another type", { status: 422, body: { message: 7, errors: "x" } }, "(422)."],
    [
      "strange faults",
      { status: 422, body: { message: "m", errors: [null, 1, [], { field: "f" }] } },
      "(422: m; f)",
    ],
  ])("%s become one short line", async (_name, reply, words) => {
    const { github, read } = await started();
    github.once(READ, { ...reply, hostile: true });
    const fault = await faultOf(read());
    expect(fault.fault).toBe("invalid");
    expect(fault.message).toContain(words);
    expect(fault.message).not.toMatch(/\p{C}/u);
    expect(fault.message.length).toBeLessThan(800);
  });
});

describe("redirects of GitHub", () => {
  const elsewhere: { reached: Request[]; stop: () => void }[] = [];
  afterEach(() => {
    for (const { stop } of elsewhere.splice(0)) stop();
  });
  const serveElsewhere = () => {
    const reached: Request[] = [];
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch(request) {
        reached.push(request);
        return Response.json({});
      },
    });
    elsewhere.push({ reached, stop: () => void server.stop(true) });
    return { reached, url: `http://127.0.0.1:${server.port}` };
  };
  const moved = (status: number, location: string): StandInReply => ({
    status,
    headers: { location },
    body: { message: "Moved Permanently", url: location, documentation_url: "https://docs.github.com/rest" },
  });

  test.each([301, 302, 307, 308])(
    "to another host (%d) are not followed: the token stays here",
    async (status) => {
      const { github, read, forge } = await started();
      const { reached, url } = serveElsewhere();
      github.once(READ, { ...moved(status, `${url}/api/v3/repos/acme/shop/pulls/1`), hostile: true });
      const fault = await faultOf(read());
      expect(fault.fault).toBe("missing");
      expect(fault.message).toContain("refers to another address");
      expect(fault.message).not.toContain(url);
      github.once(/^POST/, { ...moved(status, `${url}/api/v3/repos/acme/shop/pulls`), hostile: true });
      const work = forge.createPullRequest(REPOSITORY, { ...NEW, base: NEW.head, head: "main" }, within());
      expect((await faultOf(work)).fault).toBe("missing");
      expect(reached).toEqual([]);
    },
  );

  test("to a path beside the API are not followed", async () => {
    const { github, read } = await started();
    github.once(READ, moved(301, `${github.url}/api/v3/../../login`));
    expect((await faultOf(read())).fault).toBe("missing");
    expect(github.requests).toHaveLength(1);
  });

  test("of a renamed repository are followed within the API, reads and writes", async () => {
    const { github, forgeWith } = await startGithub();
    const forge = forgeWith(github.addToken());
    const old = { path: "acme/store" };
    const to = `${github.host().apiUrl}/repos/acme/shop/pulls`;
    github.once(/^POST .*store\/pulls$/, moved(307, to));
    expect((await forge.createPullRequest(old, NEW, within())).number).toBe(1);
    github.once(/^GET .*store\/pulls$/, moved(301, `${to}?state=open`));
    expect((await forge.findPullRequest(old, NEW, within()))?.number).toBe(1);
    expect(github.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "POST /repos/acme/store/pulls",
      "POST /repos/acme/shop/pulls",
      "GET /repos/acme/store/pulls",
      "GET /repos/acme/shop/pulls",
    ]);
  });

  test("that change a write into a read, or never end, are not followed on", async () => {
    const { github, forge, read } = await started();
    const { apiUrl } = github.host();
    github.once(/^POST/, { ...moved(302, `${apiUrl}/repos/acme/shop/pulls`), hostile: true });
    expect((await faultOf(forge.createPullRequest(REPOSITORY, NEW, within()))).fault).toBe("missing");
    expect(github.requests).toHaveLength(1);
    for (let hop = 0; hop < 9; hop += 1) github.once(READ, moved(301, `${apiUrl}/repos/acme/shop/pulls/1`));
    expect((await faultOf(read())).fault).toBe("missing");
    expect(github.requests).toHaveLength(5);
  });
});
