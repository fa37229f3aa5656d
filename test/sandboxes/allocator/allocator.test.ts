import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxConfig } from "../../../src/db/json-columns.ts";
import { RepositoryError, SandboxUnavailable } from "../../../src/sandboxes/sandbox.ts";
import { pointerTo } from "../../harness/lfs-stand-in.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { LIMIT_MS, linesOf, never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";
import { bigRepository, LIMITS } from "../git/big-repository.ts";
import { startFakeAllocator } from "./fake-allocator.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

describe("borrowed sandboxes", () => {
  let fixture: SandboxFixture;
  let repository: TestRepository;
  let allocator: ReturnType<typeof startFakeAllocator>;
  beforeAll(async () => {
    allocator = startFakeAllocator();
    repository = await makeRepository();
    fixture = await openSandboxFixture({
      env: { SANDBOX_PROVIDER: "allocator", IP_ALLOCATOR_URL: allocator.url, ...LIMITS },
    });
  });
  afterAll(async () => {
    await fixture.remove();
    await repository.remove();
    await allocator.stop();
  });

  const open = async (branch: string, repo = repository) => {
    const recorded: SandboxConfig[] = [];
    const record = async (config: SandboxConfig) => void recorded.push(config);
    const request = fixture.request(repo.path, { branch });
    const sandbox = await fixture.provider.open(fixture.provider.plan(), request, never, record);
    return { sandbox, request, recorded };
  };

  test("a checkout is sent as a bundle, the work comes back on its branch, and the sandbox is returned", async () => {
    const branch = "prompt/it's/$(x);`odd`";
    const { sandbox, recorded } = await open(branch);
    expect(recorded).toMatchObject([{ provider: "allocator" }]);
    // Bun's toMatchObject writes an asymmetric matcher into the object that it examines.
    expect(JSON.stringify(recorded)).toContain("borrow-secret");
    const { checkout } = sandbox.remote ?? { checkout: "" };
    expect(await Bun.$`git -C ${checkout} branch --show-current`.text()).toBe(`${branch}\n`);
    // As the agent's tools do.
    await writeFile(join(checkout, "new.txt"), "work\n");
    const result = await sandbox.deliverWork("A message with 'quotes' and $(things)", never);
    expect(result).toMatchObject({ commits: 1, push: { pushed: true } });
    expect(await repository.git("show", `${branch}:new.txt`)).toBe("work\n");
    expect(await repository.git("log", "-1", "--format=%s", branch)).toBe(
      "A message with 'quotes' and $(things)\n",
    );
    expect(await fixture.provider.release(sandbox.config)).toBe(true);
    expect(allocator.lent.size).toBe(0);
    expect(existsSync(checkout)).toBe(false);
    expect(await readdir(join(fixture.dataDir, "sandboxes"))).toEqual([]);
    // Idempotent: nothing is returned twice.
    expect(await fixture.provider.release(sandbox.config)).toBe(true);
    expect(allocator.seen.returns).toBe(1);
  });

  test("files that are put there are beside the checkout, under their names, in place of earlier ones", async () => {
    const { sandbox } = await open("prompt/files");
    const large = Buffer.alloc(5 * 1024 * 1024, 7);
    const put = (...files: { name: string; bytes: Uint8Array }[]) => sandbox.putFiles(files, never);
    await put({ name: "earlier", bytes: Buffer.from("x") });
    const name = " it's $(x) \\ `odd`.csv ";
    const folder = await put({ name, bytes: Buffer.from("a,b") }, { name: "-large", bytes: large });
    expect((await readdir(folder)).toSorted()).toEqual([name, "-large"].toSorted());
    expect(await readFile(join(folder, name), "utf8")).toBe("a,b");
    expect((await readFile(join(folder, "-large"))).equals(large)).toBe(true);
    const { checkout } = sandbox.remote ?? { checkout: "" };
    expect(join(folder, "..")).toBe(join(checkout, ".."));
    expect(await Bun.$`git -C ${checkout} status --short`.text()).toBe("");
    await fixture.provider.release(sandbox.config);
  });

  test("files of Git LFS are pointers there, and the user is told", async () => {
    const files = { ".gitattributes": "*.bin filter=lfs\n", "a.bin": pointerTo("a\n") };
    const withLfs = await makeRepository({ files });
    try {
      const { sandbox } = await open("prompt/lfs", withLfs);
      expect(sandbox.notices).toEqual([
        'The checkout has a pointer instead of 1 file of Git LFS ("a.bin"): sandboxes that are borrowed get no objects.',
      ]);
      await fixture.provider.release(sandbox.config);
    } finally {
      await withLfs.remove();
    }
  });

  test("of a repository whose history is too large, the newest commits are sent; the work comes back, and the next prompt goes on", async () => {
    const big = await bigRepository(60);
    const { sandbox, request } = await open("prompt/big", big);
    const { checkout } = sandbox.remote ?? { checkout: "" };
    expect(await Bun.$`git -C ${checkout} rev-list --count HEAD`.text()).toBe("50\n");
    await Bun.$`git -C ${checkout} fsck --no-dangling`.quiet();
    expect(sandbox.notices).toEqual([expect.stringContaining("too large to be fetched whole")]);
    await writeFile(join(checkout, "new.txt"), "work\n");
    expect(await sandbox.deliverWork("Work", never)).toMatchObject({ commits: 1, push: { pushed: true } });
    await fixture.provider.release(sandbox.config);
    const next = await fixture.open(request);
    expect(await readFile(join(next.remote?.checkout ?? "", "new.txt"), "utf8")).toBe("work\n");
    await fixture.provider.release(next.config);
    expect(await big.git("log", "--format=%s", "main..prompt/big")).toBe("Work\n");
    await big.remove();
  });

  test("submodules are named, and not fetched", async () => {
    const source = await makeRepository();
    try {
      await Bun.write(join(source.path, ".gitmodules"), '[submodule "x"]\n\tpath = lib\n\turl = ../lib\n');
      await source.git("add", "--all");
      const head = (await source.git("rev-parse", "HEAD")).trim();
      for (const path of ["lib", "bare"])
        await source.git("update-index", "--add", "--cacheinfo", `160000,${head},${path}`);
      await source.git("commit", "--quiet", "--message=Submodules");
      const request = fixture.request(source.path, { branch: "prompt/s-modules" });
      const sandbox = await fixture.open(request);
      expect(sandbox.notices).toEqual([
        'The submodule "bare" is not in the checkout: it has no URL in .gitmodules.',
        'The submodule "lib" is not in the checkout: borrowed sandboxes get none.',
      ]);
      await fixture.provider.release(sandbox.config);
    } finally {
      await source.remove();
    }
  });

  test("the agent gets the MCP configuration as a file and sees no repository on this machine", async () => {
    const { sandbox } = await open("prompt/s-agent");
    const script = 'cat "$MCP"; ls -A';
    const { mcpConfig } = sandbox.remote ?? { mcpConfig: "" };
    const command = { argv: ["sh", "-c", script] as const, env: { MCP: mcpConfig }, stdin: "", readable: [] };
    const lines = await linesOf(sandbox.start(command, LIMIT_MS));
    expect(JSON.parse(lines.join(""))).toMatchObject({ mcpServers: { sandbox: { type: "http" } } });
    await fixture.provider.release(sandbox.config);
  });

  test("another runner of this machine can reopen it; one of another machine can return it", async () => {
    const { sandbox, request, recorded } = await open("prompt/s-again");
    const config = recorded[0] ?? sandbox.config;
    expect(await fixture.provider.reopen(config, request)).toMatchObject({ config });
    const far = { ...config, host: "another" };
    expect(await fixture.provider.reopen(far, request)).toBeUndefined();
    expect(await fixture.provider.release(far)).toBe(true);
    expect(allocator.lent.size).toBe(0);
  });

  test("no sandbox: unavailable; allocator down or invalid reply: a transient error", async () => {
    allocator.mood = "full";
    expect(open("prompt/s-full")).rejects.toBeInstanceOf(SandboxUnavailable);
    for (const mood of ["away", "wrong"] as const) {
      allocator.mood = mood;
      const failure = await open(`prompt/s-${mood}`).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(RepositoryError);
      expect(failure).toMatchObject({ transient: true });
    }
    allocator.mood = "slow";
    const { sandbox } = await open("prompt/s-slow");
    allocator.mood = "well";
    await fixture.provider.release(sandbox.config);
  });

  test("a failed return is an error, and a retry succeeds", async () => {
    const { sandbox } = await open("prompt/s-return");
    allocator.returnMood = "away";
    expect(fixture.provider.release(sandbox.config)).rejects.toThrow("status 502");
    allocator.returnMood = "well";
    expect(await fixture.provider.release(sandbox.config)).toBe(true);
    expect(allocator.lent.size).toBe(0);
  });

  test("a sandbox that a crash left unrecorded is found by its note and returned", async () => {
    const planned = fixture.provider.plan();
    // The crash: borrowed, noted here, but not recorded in the database.
    const dying = fixture.provider.open(planned, fixture.request(repository.path), never, async () => {
      throw new Error("killed");
    });
    expect(dying).rejects.toThrow("killed");
    await dying.catch(() => undefined);
    expect(allocator.lent.size).toBe(1);
    const [note = ""] = await readdir(join(fixture.dataDir, "borrowed"));
    expect(await readFile(join(fixture.dataDir, "borrowed", note), "utf8")).toContain("borrow_token");
    // Held by its session, as planned: the session's next run returns it.
    await fixture.provider.sweep(async (ids) => new Set(ids));
    expect(allocator.lent.size).toBe(1);
    await fixture.provider.sweep(async () => new Set());
    expect(allocator.lent.size).toBe(0);
    expect(await readdir(join(fixture.dataDir, "borrowed"))).toEqual([]);
  });
});
