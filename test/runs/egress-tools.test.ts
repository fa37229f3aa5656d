import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { egressRules } from "../../src/config/egress-rules.ts";
import { unavailable } from "../harness/services.ts";
import { describeRuns, shellAgent } from "./fixture.ts";

/** A registry with one package, and a repository over HTTP, on an address that programs take for another machine's. */
async function startSite() {
  const folder = await mkdtemp(join(tmpdir(), "pb-site-"));
  await Bun.write(
    join(folder, "package/package.json"),
    '{"name":"tiny","version":"1.0.0","main":"index.js"}',
  );
  await Bun.write(join(folder, "package/index.js"), 'module.exports = "tiny works";');
  await Bun.$`tar -czf tiny.tgz package && git init -q -b main work && cd work && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m "over http" && cd .. && git clone -q --bare work work.git && git -C work.git update-server-info`
    .cwd(folder)
    .quiet();
  const server = Bun.serve({
    hostname: "127.0.0.2",
    port: 0,
    async fetch(request) {
      const { pathname, origin } = new URL(request.url);
      if (pathname === "/tiny")
        return Response.json({
          name: "tiny",
          "dist-tags": { latest: "1.0.0" },
          versions: { "1.0.0": { name: "tiny", version: "1.0.0", dist: { tarball: `${origin}/tiny.tgz` } } },
        });
      const file = Bun.file(join(folder, pathname));
      return (await file.exists()) ? new Response(file) : new Response("no", { status: 404 });
    },
  });
  return {
    target: `127.0.0.2:${server.port}`,
    async stop() {
      await server.stop(true);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const NAME = "npm and git in a closed sandbox";
const lacking = ["npm", "node", "git", "tar"].filter((one) => !Bun.which(one));
if (lacking.length > 0) unavailable({ name: NAME, reason: `${lacking.join(", ")} missing` });
else
  describeRuns(NAME, (fixture) => {
    /** Both are tried; the reports tell what came of it. */
    const script = (target: string) => `cd "$TMPDIR"
      npm install --no-audit --no-fund --fetch-retry-mintimeout 200 --registry http://${target}/ tiny >npm.out 2>&1
      node -e 'console.log(require("tiny"))' 2>/dev/null || echo "npm failed: $({ grep -o 403 npm.out || tail -n 3 npm.out; } | head -1)"
      git clone -q http://${target}/work.git clone 2>git.out && git -C clone log --format=%s || echo "git failed: $(grep -o 403 git.out)"`;

    test("work with a host that is allowed, and fail with the reason without", async () => {
      const site = await startSite();
      const { submit, run, depsFor, textsOf } = fixture();
      const agent = shellAgent(script(site.target));
      const [allowed, refused] = [await submit(), await submit()];
      const egress = { mode: "list" as const, allow: egressRules(site.target) };
      await run(allowed.promptId, depsFor(agent, { egress }));
      expect((await textsOf(allowed.promptId)).slice(0, 2)).toEqual(["tiny works", "over http"]);
      await run(refused.promptId, depsFor(agent));
      const texts = await textsOf(refused.promptId);
      for (const text of [
        "npm failed: 403",
        "git failed: 403",
        `refused: ${site.target}; allow it with EGRESS_ALLOW=${site.target} and EGRESS=list`,
      ])
        expect(texts).toContain(text);
      await site.stop();
    });
  });
