import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { basename, dirname } from "node:path";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { makeRepository } from "../harness/repository.ts";
import { unavailable } from "../harness/services.ts";
import { startGitServer } from "../sandboxes/git/git-server.ts";

const missing = ["bwrap", "socat", "npm"].filter((program) => !Bun.which(program));
const NAME = "npm and git work in the closed sandbox with what is allowed, and fail clearly without";

/** An npm registry with one package of one file. 127.0.0.2: NO_PROXY names 127.0.0.1. */
function startRegistry() {
  const asked: string[] = [];
  const tarball = tarOf("package/package.json", '{"name":"stand-in","version":"1.0.0"}');
  const integrity = `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
  const server = Bun.serve({
    hostname: "127.0.0.2",
    port: 0,
    fetch(request) {
      const { pathname, origin } = new URL(request.url);
      asked.push(pathname);
      if (pathname.endsWith(".tgz")) return new Response(new Uint8Array(tarball));
      if (pathname !== "/stand-in") return new Response("{}", { status: 404 });
      const dist = { tarball: `${origin}/stand-in/-/stand-in-1.0.0.tgz`, integrity };
      const versions = { "1.0.0": { name: "stand-in", version: "1.0.0", dist } };
      return Response.json({ name: "stand-in", "dist-tags": { latest: "1.0.0" }, versions });
    },
  });
  afterAll(() => server.stop(true));
  return { asked, url: `http://127.0.0.2:${server.port}`, host: `127.0.0.2:${server.port}` };
}

/** A gzipped tar archive of one file. */
function tarOf(name: string, content: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        ", 148);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  body.write(content);
  return Buffer.from(Bun.gzipSync(Buffer.concat([header, body, Buffer.alloc(1024)])));
}

if (missing.length > 0) unavailable({ name: NAME, reason: `${missing.join(", ")} is missing` });
else
  test(NAME, async () => {
    const registry = startRegistry();
    const other = await makeRepository({ files: { "library.txt": "from elsewhere\n" } });
    const password = "for-the-other-repository";
    const server = startGitServer({ root: dirname(other.path), password, hostname: "127.0.0.2" });
    const url = new URL(`${server.url}/${basename(other.path)}/.git`);
    const repository = await makeRepository();
    const script = `
npm install --no-audit --no-fund --fetch-retries=0 --registry ${registry.url} stand-in 2>&1 | tail -n 5
cat node_modules/stand-in/package.json && echo npm-worked
git clone --quiet http://x-access-token:${password}@${url.host}${url.pathname} /tmp/other 2>&1 && cat /tmp/other/library.txt && echo git-worked
rm -rf node_modules package.json package-lock.json; echo done > done.txt`;
    const run = async (env: Record<string, string>) => {
      await using deployment = await createDeployment("embedded");
      await using backend = await startBackend(deployment, {
        env: { AGENT: "command", AGENT_COMMAND: JSON.stringify(["sh"]), LOCAL_REPOSITORIES: "/tmp", ...env },
      });
      const { sessionId, promptId } = await backend.submit(repository.path, script);
      await backend.waitForStatus(sessionId, "NeedsReviewIpReturned", 60_000);
      const { requests } = (await backend.request("GET", `/sessions/${sessionId}/egress`)).body;
      return { text: JSON.stringify(await backend.messages(promptId)), requests };
    };

    const allowed = await run({ EGRESS: "list", EGRESS_ALLOW: `${registry.host},${url.host}` });
    expect(allowed.text).toContain("npm-worked");
    expect(allowed.text).toContain("git-worked");
    expect(allowed.requests).toContainEqual(
      expect.objectContaining({ host: "127.0.0.2", decision: "allowed", rule: registry.host }),
    );

    const asked = registry.asked.length;
    const closed = await run({});
    expect(closed.text).not.toContain("npm-worked");
    expect(closed.text).not.toContain("git-worked");
    expect(registry.asked.length).toBe(asked);
    // The person reads what was refused and how to allow it; the programs got an answer, not a time-out.
    expect(closed.text).toContain(`refused: ${registry.host}; allow it with EGRESS_ALLOW=${registry.host}`);
    expect(closed.requests).toContainEqual(
      expect.objectContaining({
        host: "127.0.0.2",
        port: Number(registry.host.split(":")[1]),
        decision: "refused",
      }),
    );
    await Promise.all([repository.remove(), other.remove(), server.stop()]);
  }, 180_000);
