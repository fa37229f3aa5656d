import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startProcess } from "../harness/process.ts";
import { builtSdk } from "./built-sdk.ts";
import {
  frame,
  json,
  killed,
  killedMidReply,
  scriptedServer,
  silent,
  stream,
  stuck,
  text,
} from "./scripted-server.ts";

await builtSdk();
const message = (seq: number) => frame("message", { seq }, seq);

test.each(["node", process.execPath])(
  "%s: a bad server, and a process that ends by itself",
  async (runtime) => {
    const ok = json({ status: "ok" });
    await using server = await scriptedServer(
      ...([killed, killedMidReply, ok] as const),
      silent,
      stuck,
      text("502 Bad Gateway", "text/html", "<html>nginx</html>"),
      stuck,
      ok,
      stream(message(1)),
      stream(message(2) + frame("bye", { reason: "shutdown" }), { end: true }),
      stream(message(3) + frame("deleted", {})),
      stream(message(4)),
    );
    await using child = startProcess({
      argv: [runtime, join(import.meta.dir, "bad-server.mjs")],
      // Bun keeps a cache where it runs.
      cwd: tmpdir(),
      env: { BASE_URL: server.url },
    });
    expect(await child.exit).toEqual({ code: 0, signal: null });
    expect(child.stdout).toEqual([
      'killed, killed mid-reply, fine: {"status":"ok"}',
      "silent: TimeoutError: without cause",
      "stuck: TimeoutError: without cause",
      "502: InternalServerError: without cause",
      "aborted in the body: AbortError: without cause",
      'raw: 200 {"status":"ok"}',
      "stream: 1 2 3 deleted TimeoutError closed",
      "aborted stream",
      "left stream",
    ]);
    expect(child.stderr).toEqual([]);
    expect(server.asked.slice(8).map(({ headers }) => headers["last-event-id"])).toEqual([
      ...[undefined, "1", "2"],
      ...[undefined, undefined],
    ]);
    await Promise.all(server.asked.map(({ closed }) => closed));
  },
);
