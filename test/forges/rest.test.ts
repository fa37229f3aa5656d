import { afterEach, describe, expect, test } from "bun:test";
import type { ForgeHost } from "../../src/config/forge-hosts.ts";
import type { Forge } from "../../src/forges/forge.ts";
import { openGiteaForge } from "../../src/forges/gitea/gitea-forge.ts";
import { openGitlabForge } from "../../src/forges/gitlab/gitlab-forge.ts";
import type { ForgeStandIn } from "../harness/forge-stand-in.ts";
import { startGiteaStandIn } from "../harness/gitea-stand-in.ts";
import { startGitlabStandIn } from "../harness/gitlab-stand-in.ts";
import { draftOf, faultOf, HEAD, hostOf, TOKEN } from "./fixture.ts";

/** Replies that no forge sends, of which none may be believed or kept in memory. */
const HOSTILE: Readonly<Record<string, () => Response>> = {
  "a list in place of one": () => Response.json([{}]),
  "one in place of a list": () => Response.json({}),
  "wrong types": () => Response.json({ number: "1", iid: "1", title: 5 }),
  "no JSON": () => new Response("<html>Sign in</html>", { headers: { "content-type": "text/html" } }),
  "no body": () => new Response(null),
  "ten megabytes": () => new Response(`"${"a".repeat(10 * 1024 * 1024)}"`),
  "a body without end": () =>
    new Response(
      new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(256 * 1024).fill(0x20)) }),
    ),
};
const KINDS = {
  gitlab: {
    path: "group/sub.group/project",
    start: async () => {
      const gitlab = startGitlabStandIn({ token: TOKEN });
      gitlab.addMerge({});
      return gitlab;
    },
    open: openGitlabForge,
  },
  gitea: {
    path: "owner/project",
    start: async () => {
      const gitea = await startGiteaStandIn({ token: TOKEN });
      gitea.addPull({});
      return gitea;
    },
    open: openGiteaForge,
  },
} as const;
const started: { stop(): unknown }[] = [];

afterEach(async () => {
  for (const one of started.splice(0)) await one.stop();
});

describe.each(["gitlab", "gitea"] as const)("%s", (kind) => {
  const { path, start, open } = KINDS[kind];
  const { signal } = new AbortController();

  async function opened(change: (host: ForgeHost) => Partial<ForgeHost> = () => ({})) {
    const standIn: ForgeStandIn = await start();
    started.push(standIn);
    const host = hostOf(kind, standIn);
    return { standIn, forge: open({ ...host, ...change(host) }) };
  }
  const read = (forge: Forge) => forge.readPullRequest({ path }, 1, signal);
  const find = (forge: Forge) => forge.findPullRequest({ path }, { head: HEAD, base: "main" }, signal);
  const create = (forge: Forge) => forge.createPullRequest({ path }, draftOf(), signal);

  test.each(Object.entries(HOSTILE))("%s is no reply", async (_name, reply) => {
    const { standIn, forge } = await opened();
    const calls = { read, find, create };
    for (const [call, run] of Object.entries(calls)) {
      standIn.intrude(() => reply());
      const { fault, message } = await faultOf(run(forge));
      expect([call, fault]).toEqual([call, "unavailable"]);
      expect(message).toMatch(
        /^127\.0\.0\.1:\d+ sent a reply that|^The reply of 127\.0\.0\.1:\d+ could not be read/,
      );
    }
  });

  test("a redirect is followed beneath the API only: elsewhere the token is not sent", async () => {
    const { standIn, forge } = await opened();
    const seen: string[] = [];
    const other = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: ({ url }) => {
        seen.push(url);
        return Response.json({});
      },
    });
    started.push(other);
    for (const status of [301, 302, 307, 308])
      for (const run of [read, create]) {
        standIn.intrude(() => new Response(null, { status, headers: { location: `${other.url}api` } }));
        const { fault, message } = await faultOf(run(forge));
        expect(fault).toBe("missing");
        expect(message).toContain("was the repository renamed or moved?");
      }
    expect(seen).toEqual([]);
    const { number } = await read(forge);
    const moved = `${standIn.apiUrl}${standIn.requests.find(({ path: one }) => /\/1$/.test(one))?.path}`;
    standIn.intrude(() => new Response(null, { status: 301, headers: { location: moved } }));
    expect(await read(forge)).toMatchObject({ number });
  });

  test("each refusal has its fault, the host's words on one line, and what to do", async () => {
    const { standIn, forge } = await opened();
    const refused = async (status: number, body: unknown, headers: Record<string, string> = {}) => {
      standIn.intrude(() => Response.json(body, { status, headers }));
      const { fault, message, retryAt } = await faultOf(read(forge));
      return { fault, message, retryAt };
    };
    const words = `no\n\u001b[31m ${TOKEN} ${"x".repeat(5_000)}`;
    const unauthorised = await refused(401, { message: words });
    expect(unauthorised.fault).toBe("unauthorised");
    expect(unauthorised.message).toContain("(401: no [31m *** xxx");
    const name = `oken for ${new URL(standIn.url).host} in FORGES`;
    expect(unauthorised.message).toContain(` The t${name} is wrong, has expired or was revoked`);
    expect(unauthorised.message.length).toBeLessThan(1_000);
    const forbidden = await refused(403, {
      error: "insufficient_scope",
      error_description: "It needs more.",
      scope: "api",
    });
    expect(forbidden.fault).toBe("forbidden");
    expect(forbidden.message).toContain(`(403: It needs more). The t${name} needs the scope`);
    expect(await refused(404, { message: "404 Project Not Found" })).toMatchObject({
      fault: "missing",
      message: expect.stringContaining(`Check that it exists and that the t${name} may see it`),
    });
    expect(await refused(400, { message: { title: ["is too long"] } })).toMatchObject({ fault: "invalid" });
    expect(await refused(500, { message: "500 Internal Server Error" })).toMatchObject({
      fault: "unavailable",
    });
    expect(await refused(503, "not an object")).toMatchObject({ fault: "unavailable" });
  });

  test("a rate limit says when it ends, where the host does", async () => {
    const { standIn, forge } = await opened();
    const limited = async (headers: Record<string, string>) => {
      standIn.intrude(() => Response.json({ message: "Retry later" }, { status: 429, headers }));
      const { fault, retryAt } = await faultOf(read(forge));
      expect(fault).toBe("rate_limited");
      return retryAt && Math.round((retryAt.getTime() - Date.now()) / 1000);
    };
    expect(await limited({})).toBeUndefined();
    expect(await limited({ "retry-after": "90" })).toBeCloseTo(90, -1);
    const reset = String(Math.floor(Date.now() / 1000) + 300);
    expect(await limited({ "ratelimit-reset": reset })).toBeCloseTo(300, -1);
    expect(await limited({ "ratelimit-reset": "soon" })).toBeUndefined();
    // Not for years, whatever it says.
    expect(await limited({ "retry-after": "999999999" })).toBeCloseTo(24 * 3600, -1);
  });

  test("a host without a credential, with a wrong one, and one that is away", async () => {
    const anonymous = await opened(() => ({ credential: undefined }));
    const { fault, message } = await faultOf(read(anonymous.forge));
    expect([fault, message]).toEqual([
      "unauthorised",
      expect.stringContaining("Configure a token for this host."),
    ]);
    expect(anonymous.standIn.requests[0]?.authorization).toBeNull();
    const wrong = await opened((host) => ({ credential: hostOf(kind, host, "another").credential }));
    expect(await faultOf(read(wrong.forge))).toMatchObject({ fault: "unauthorised" });
    const away = await opened();
    await away.standIn.stop();
    const gone = await faultOf(read(away.forge));
    expect(gone).toMatchObject({
      fault: "unavailable",
      message: expect.stringContaining("could not be reached"),
    });
  });

  test("a call that is given up ends with the reason that was given", async () => {
    const { standIn, forge } = await opened();
    const controller = new AbortController();
    standIn.intrude(() => {
      controller.abort(new Error("given up"));
      return new Response(new ReadableStream());
    });
    await expect(forge.readPullRequest({ path }, 1, controller.signal)).rejects.toThrow("given up");
  });
});
