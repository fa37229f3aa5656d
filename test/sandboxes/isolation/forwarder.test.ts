import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { unavailable } from "../../harness/services.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { LIMIT_MS, linesOf, openSandboxFixture, useSandboxes, whyNotIsolated } from "../fixture.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

const reason = (await whyNotIsolated()) ?? (Bun.which("socat") ? undefined : "socat is not installed");
if (reason) unavailable({ name: "the network of a sandbox", reason });
else
  describe("the network of a sandbox", () => {
    const its = useSandboxes();
    /** A folder that every user may enter, with a socket that every user may write to. */
    const gatewayOf = async () => {
      const folder = join(its.fixture.dataDir, crypto.randomUUID());
      await mkdir(folder);
      await chmod(folder, 0o755);
      const socket = join(folder, "gateway.sock");
      const server = Bun.serve({
        unix: socket,
        fetch: (request) => new Response(`got ${new URL(request.url).pathname}\n`),
      });
      await chmod(socket, 0o777);
      return { folder, server };
    };
    const start = async (script: string, gateway?: string) => {
      const sandbox = await its.fixture.open(its.fixture.request(its.fixture.repository.path));
      return sandbox.start(
        { argv: ["sh", "-c", script], env: {}, stdin: "its own\n", readable: [] },
        LIMIT_MS,
        gateway,
      );
    };

    test("the gateway is reached on loopback from the program's first instruction; stdin, exit code and children are its own", async () => {
      const { folder, server } = await gatewayOf();
      const script = `curl -sS http://127.0.0.1:3128/model; cat; wait; touch /run/gateway/x 2>/dev/null && echo WROTE; exit 7`;
      const child = await start(script, folder);
      expect(await linesOf(child)).toEqual(["got /model", "its own"]);
      expect((await child.exit).code).toBe(7);
      server.stop(true);
    });

    test("a service that restarts is reached again, because the folder is mounted and not the socket", async () => {
      const { folder, server } = await gatewayOf();
      const script = `curl -sS http://127.0.0.1:3128/one; touch first; while ! [ -e second ]; do sleep 0.01; done; curl -sS http://127.0.0.1:3128/two`;
      const sandbox = await its.fixture.open(its.fixture.request(its.fixture.repository.path));
      const child = sandbox.start(
        { argv: ["sh", "-c", script], env: {}, stdin: "", readable: [] },
        LIMIT_MS,
        folder,
      );
      const lines = child.lines(0)[Symbol.asyncIterator]();
      expect((await lines.next()).value?.line).toBe("got /one");
      server.stop(true);
      await Bun.file(join(folder, "gateway.sock"))
        .delete()
        .catch(() => undefined);
      const again = Bun.serve({ unix: join(folder, "gateway.sock"), fetch: () => new Response("again\n") });
      await chmod(join(folder, "gateway.sock"), 0o777);
      await writeFile(join(sandbox.hostPaths.checkout, "second"), "");
      expect((await lines.next()).value?.line).toBe("again");
      await lines.return?.(undefined);
      await child.exit;
      again.stop(true);
    });

    // An agent that outlived the service took over the ports of its model proxy and its API.
    test("the host's ports are out of reach, and so is taking them", async () => {
      const host = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("host\n") });
      const { folder, server } = await gatewayOf();
      const script = `curl -sS http://127.0.0.1:${host.port}/ || echo refused; tail -n +3 /proc/net/dev | cut -d: -f1`;
      const child = await start(script, folder);
      const [first = "", ...interfaces] = await linesOf(child);
      expect(first).toBe("refused");
      expect(interfaces.map((one) => one.trim())).toContain("lo");
      expect(interfaces.map((one) => one.trim())).not.toContain("eth0");
      host.stop(true);
      server.stop(true);
    });

    test("a forwarder that does not start is a clear end", async () => {
      const bin = join(its.fixture.dataDir, "bin");
      await mkdir(bin);
      await writeFile(join(bin, "socat"), "#!/bin/sh\nexit 1\n");
      await chmod(join(bin, "socat"), 0o755);
      const broken = await openSandboxFixture({ env: { PATH: `${bin}:${process.env["PATH"]}` } });
      try {
        const { folder, server } = await gatewayOf();
        const sandbox = await broken.open(broken.request(its.fixture.repository.path));
        const command = { argv: ["echo", "ran"] as const, env: {}, stdin: "", readable: [] };
        const child = sandbox.start(command, LIMIT_MS, folder);
        expect(await linesOf(child)).toEqual([]);
        expect(await child.exit).toMatchObject({
          code: 125,
          stderr: expect.stringContaining("forwarder does not listen on 127.0.0.1:3128"),
        });
        server.stop(true);
      } finally {
        await broken.remove();
      }
    });
  });
