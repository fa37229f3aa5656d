import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAllocatorClient } from "../../../src/sandboxes/allocator/allocator-client.ts";
import { createRemoteSandbox } from "../../../src/sandboxes/allocator/remote-sandbox.ts";
import { RepositoryError } from "../../../src/sandboxes/sandbox.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never } from "../fixture.ts";
import { startFakeAllocator } from "./fake-allocator.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const MIB = 1024 * 1024;
const PIECE = 4 * MIB;

let folder: string;
let server: ReturnType<typeof Bun.serve> | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-remote-"));
});
afterEach(async () => {
  await server?.stop(true);
  await rm(folder, { recursive: true });
});

/** A sandbox whose every reply is this one. */
function serve(reply: () => Response) {
  const seen = { requests: 0 };
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch() {
      seen.requests += 1;
      return reply();
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, seen };
}

/** A body without end. `sent` counts its bytes. */
function endlessBody() {
  const chunk = new Uint8Array(MIB).fill(120);
  let sent = 0;
  const body = () =>
    new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += chunk.length;
        controller.enqueue(chunk);
      },
    });
  return { body, sent: () => sent };
}

async function failureOf(work: Promise<unknown>): Promise<RepositoryError> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(RepositoryError);
  return error as RepositoryError;
}

describe("a sandbox that misbehaves", () => {
  /** Cause: pieces were gathered in memory for as long as they were full. */
  test("full pieces without end: the download fails at the limit", async () => {
    const output = `${Buffer.alloc(PIECE).toString("base64")}\nprompt-backend-exit:0\n`;
    const { url, seen } = serve(() => Response.json({ success: true, data: { output } }));
    const remote = createRemoteSandbox({ apiUrl: url, signal: never, maxFileBytes: 3 * PIECE });
    const target = join(folder, "bundle");
    const failure = await failureOf(remote.download("/out.bundle", target));
    expect(failure.message).toBe(
      `The file /out.bundle of the borrowed sandbox is larger than ${3 * PIECE} bytes.`,
    );
    expect(failure.transient).toBe(false);
    expect(seen.requests).toBe(4);
    expect((await stat(target)).size).toBe(3 * PIECE);
  });

  /** Cause: `reply.text()` read bodies of any size. */
  test.each([200, 500])("a reply without end, status %d: cut off", async (status) => {
    const { body, sent } = endlessBody();
    const { url } = serve(() => new Response(body(), { status }));
    const remote = createRemoteSandbox({ apiUrl: url, signal: never });
    expect((await failureOf(remote.run("/x.sh", "/"))).message).toContain("a reply of more than");
    expect(sent()).toBeLessThan(64 * MIB);
  });

  test("a long last line of output is not quoted whole", async () => {
    const output = `${"x".repeat(MIB)}\nprompt-backend-exit:1\n`;
    const { url } = serve(() => Response.json({ success: true, data: { output } }));
    const remote = createRemoteSandbox({ apiUrl: url, signal: never });
    expect((await failureOf(remote.run("/x.sh", "/"))).message.length).toBeLessThan(1_200);
  });

  // The limit of downloads was applied to it, too: a large repository failed with a message about the sandbox's file.
  test("an upload has no limit: our own file is no risk", async () => {
    const { url, seen } = serve(() => Response.json({ success: true }));
    const remote = createRemoteSandbox({ apiUrl: url, signal: never, maxFileBytes: 10 });
    await writeFile(join(folder, "in"), "x".repeat(11));
    await remote.upload(join(folder, "in"), "/in");
    expect(seen.requests).toBe(1);
  });

  test("an allocator's reply without end is no sandbox", async () => {
    const { body, sent } = endlessBody();
    const { url } = serve(() => new Response(body()));
    const failure = await failureOf(createAllocatorClient(url).borrow(never));
    expect(failure).toMatchObject({
      transient: true,
      message: expect.stringContaining("contains no sandbox"),
    });
    expect(sent()).toBeLessThan(64 * MIB);
  });
});

test.each([0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])(
  "a file of %d bytes there and back",
  async (size) => {
    const allocator = startFakeAllocator();
    try {
      const { item } = await createAllocatorClient(allocator.url).borrow(never);
      const remote = createRemoteSandbox({ apiUrl: item.api_url, signal: never });
      const bytes = crypto.getRandomValues(Buffer.alloc(Math.min(size, 65_536)));
      const content = Buffer.alloc(size, bytes.length > 0 ? bytes : 0);
      await writeFile(join(folder, "in"), content);
      await remote.upload(join(folder, "in"), join(folder, "there"));
      expect(await remote.download(join(folder, "there"), join(folder, "back"))).toBe(size);
      expect(content.equals(await readFile(join(folder, "back")))).toBe(true);
    } finally {
      await allocator.stop();
    }
  },
);
