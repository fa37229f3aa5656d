import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxConfig } from "../../../src/db/json-columns.ts";
import { RepositoryError, SandboxUnavailable } from "../../../src/sandboxes/sandbox.ts";
import { PATIENCE_MS } from "../../harness/patience.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { LIMIT_MS, linesOf, never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";
import { startFakeAllocator } from "./fake-allocator.ts";

setDefaultTimeout(PATIENCE_MS);

describe("borrowed sandboxes", () => {
  let fixture: SandboxFixture;
  let repository: TestRepository;
  let allocator: ReturnType<typeof startFakeAllocator>;
  beforeAll(async () => {
    allocator = startFakeAllocator();
    repository = await makeRepository();
    fixture = await openSandboxFixture({
      env: { SANDBOX_PROVIDER: "allocator", IP_ALLOCATOR_URL: allocator.url },
    });
  });
  afterAll(async () => {
    await fixture.remove();
    await repository.remove();
    await allocator.stop();
  });

  const open = async (branch: string) => {
    const recorded: SandboxConfig[] = [];
    const record = async (config: SandboxConfig) => void recorded.push(config);
    const request = fixture.request(repository.path, { branch });
    const sandbox = await fixture.provider.open(fixture.provider.plan(), request, never, record);
    return { sandbox, request, recorded };
  };

  test("work goes in as a bundle, is done behind the tools, and comes out on its branch; then all is given back", async () => {
    const branch = "it's/$(x);`odd`";
    const { sandbox, recorded } = await open(branch);
    expect(recorded).toMatchObject([{ provider: "allocator" }]);
    // Bun's toMatchObject writes an asymmetric matcher into what it looks at.
    expect(JSON.stringify(recorded)).toContain("borrow-secret");
    const { checkout } = sandbox.remote ?? { checkout: "" };
    expect(await Bun.$`git -C ${checkout} branch --show-current`.text()).toBe(`${branch}\n`);
    // What the agent's tools do.
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
    // Again is no error: what is given back is given back.
    expect(await fixture.provider.release(sandbox.config)).toBe(true);
    expect(allocator.seen.returns).toBe(1);
  });

  test("the agent gets the tools' configuration as a file, beside the service, and sees no repository here", async () => {
    const { sandbox } = await open("s/agent");
    const script = 'cat "$MCP"; ls -A';
    const { mcpConfig } = sandbox.remote ?? { mcpConfig: "" };
    const command = { argv: ["sh", "-c", script] as const, env: { MCP: mcpConfig }, stdin: "", readable: [] };
    const lines = await linesOf(sandbox.start(command, LIMIT_MS));
    expect(JSON.parse(lines.join(""))).toMatchObject({ mcpServers: { sandbox: { type: "http" } } });
    await fixture.provider.release(sandbox.config);
  });

  test("another runner of this machine finds it again; one of another machine can give it back", async () => {
    const { sandbox, request, recorded } = await open("s/again");
    const config = recorded[0] ?? sandbox.config;
    expect(await fixture.provider.reopen(config, request)).toMatchObject({ config });
    const far = { ...config, host: "another" };
    expect(await fixture.provider.reopen(far, request)).toBeUndefined();
    expect(await fixture.provider.release(far)).toBe(true);
    expect(allocator.lent.size).toBe(0);
  });

  test("full: waits; away or wrong: may pass; none of it names a secret", async () => {
    allocator.mood = "full";
    expect(open("s/full")).rejects.toBeInstanceOf(SandboxUnavailable);
    for (const mood of ["away", "wrong"] as const) {
      allocator.mood = mood;
      const failure = await open(`s/${mood}`).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(RepositoryError);
      expect(failure).toMatchObject({ transient: true });
    }
    allocator.mood = "slow";
    const { sandbox } = await open("s/slow");
    allocator.mood = "well";
    await fixture.provider.release(sandbox.config);
  });

  test("a return that fails is an error to be tried again, and nothing is forgotten", async () => {
    const { sandbox } = await open("s/return");
    allocator.returnMood = "away";
    expect(fixture.provider.release(sandbox.config)).rejects.toThrow("status 502");
    allocator.returnMood = "well";
    expect(await fixture.provider.release(sandbox.config)).toBe(true);
    expect(allocator.lent.size).toBe(0);
  });

  test("what a crash left half borrowed is found by its note and given back", async () => {
    const planned = fixture.provider.plan();
    // The crash: lent, noted here, and the database never heard of it.
    const dying = fixture.provider.open(planned, fixture.request(repository.path), never, async () => {
      throw new Error("killed");
    });
    expect(dying).rejects.toThrow("killed");
    await dying.catch(() => undefined);
    expect(allocator.lent.size).toBe(1);
    const [note = ""] = await readdir(join(fixture.dataDir, "borrowed"));
    expect(await readFile(join(fixture.dataDir, "borrowed", note), "utf8")).toContain("borrow_token");
    // Held by its session, as planned: it is left to the session's next run, which gives it back.
    await fixture.provider.sweep(async (ids) => new Set(ids));
    expect(allocator.lent.size).toBe(1);
    await fixture.provider.sweep(async () => new Set());
    expect(allocator.lent.size).toBe(0);
    expect(await readdir(join(fixture.dataDir, "borrowed"))).toEqual([]);
  });
});
