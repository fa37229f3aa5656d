import { expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RepositoryError } from "../../src/sandboxes/sandbox.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { describeSandboxes } from "./describe-sandboxes.ts";
import { LIMIT_MS, linesOf } from "./fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const never = new AbortController().signal;

await describeSandboxes((setup) => {
  test("reports whether it isolates", () => {
    const { fixture, isolated } = setup();
    expect(fixture.provider.isolation.isolated).toBe(isolated);
    if (!isolated) expect(fixture.provider.isolation.detail).toContain("apt-get install bubblewrap");
  });

  test.each([
    ["main", "/nowhere/at/all", "not below a folder of LOCAL_REPOSITORIES"],
    ["main", join(tmpdir(), "nowhere"), `There is no git repository at ${join(tmpdir(), "nowhere")}`],
    ["nope", "", "has no branch nope; it has main"],
    ["a..b", "", "not a valid branch name"],
  ])("an invalid request is refused: %s in %j", async (targetBranch, path, message) => {
    const { fixture, repo } = setup();
    const before = await readdir(join(fixture.dataDir, "sandboxes"));
    const opened = fixture.open(fixture.request(path || repo.path, { targetBranch }));
    await expect(opened).rejects.toThrow(RepositoryError);
    await expect(opened).rejects.toThrow(message);
    expect(await readdir(join(fixture.dataDir, "sandboxes"))).toEqual(before);
  });

  test("what is kept of the state crosses sandboxes, and nothing else; stdin is passed completely, and the environment is the sandbox's own", async () => {
    const { fixture, repo } = setup();
    const request = fixture.request(repo.path, { branch: "prompt/s-state" });
    const first = await fixture.open(request);
    const child = first.start(
      { argv: ["wc", "-c"], env: {}, stdin: "x".repeat(300_000), readable: [] },
      LIMIT_MS,
    );
    expect(await linesOf(child)).toEqual(["300000"]);
    const script = 'echo memory > "$STATE/m"; echo planted > "$STATE/settings.json"; chmod 500 "$HOME"';
    await fixture.run(first, script, { STATE: first.paths.state });
    const keeps = (path: string) => path === "m";
    await first.keepState(keeps);
    await fixture.provider.release(first.config);
    const second = await fixture.open(request);
    await second.restoreState(keeps);
    const listing = await fixture.run(second, 'ls "$STATE"', { STATE: second.paths.state });
    expect(listing.out).toBe("m");
    expect((await fixture.run(second, 'cat "$STATE/m"; env', { STATE: second.paths.state })).out).toContain(
      "memory",
    );
    expect((await fixture.run(second, "env")).out).not.toContain("BUN_");
  });

  test("files are put into a folder of their own, whatever a program has made of it before", async () => {
    const { fixture, repo } = setup();
    const sandbox = await fixture.open(fixture.request(repo.path));
    const outside = await mkdtemp(join(tmpdir(), "pb-outside-"));
    try {
      await writeFile(join(outside, "a.txt"), "not yours");
      const put = () => sandbox.putFiles([{ name: "a.txt", bytes: Buffer.from("given") }], never);
      const folder = await put();
      const script = `cat "${folder}/a.txt" && echo mine >> "${folder}/a.txt" && echo written`;
      expect((await fixture.run(sandbox, script)).out).toBe("givenwritten");
      for (const hostile of [
        `rm -r "$HOME/attachments" && ln -s "${outside}" "$HOME/attachments"`,
        `rm "$HOME/attachments/a.txt" && ln -s "${outside}/a.txt" "$HOME/attachments/a.txt"`,
        `rm -r "$HOME/attachments" && echo a file > "$HOME/attachments"`,
        `rm -r "$HOME/attachments" && mkdir -p "$HOME/attachments/a.txt/b" && chmod 500 "$HOME/attachments/a.txt"`,
      ]) {
        expect((await fixture.run(sandbox, `${hostile} && echo done`)).out).toBe("done");
        expect(await put()).toBe(folder);
        expect((await fixture.run(sandbox, `cat "${folder}/a.txt"`)).out).toBe("given");
      }
      expect(await readFile(join(outside, "a.txt"), "utf8")).toBe("not yours");
      expect((await stat(outside)).uid).toBe(process.getuid?.() ?? 0);
      expect(await readdir(outside)).toEqual(["a.txt"]);
    } finally {
      await rm(outside, { recursive: true });
    }
  });

  test("release is idempotent, removes read-only folders, and leaves other machines' sandboxes alone; sweep keeps held ones", async () => {
    const { fixture, repo } = setup();
    const [held, lost] = [
      await fixture.open(fixture.request(repo.path)),
      await fixture.open(fixture.request(repo.path)),
    ];
    await fixture.run(lost, "mkdir -p d/e && touch d/e/f && chmod 500 d/e d");
    expect(await fixture.provider.release({ ...held.config, host: "another" })).toBe(false);
    await fixture.provider.sweep(async () => new Set([held.config.id]));
    expect(await readdir(join(fixture.dataDir, "sandboxes"))).toEqual([held.config.id]);
    await chmod(held.hostPaths.home, 0o500);
    expect(await fixture.provider.release(held.config)).toBe(true);
    expect(await fixture.provider.release(held.config)).toBe(true);
    expect(await fixture.provider.sweep(async () => new Set())).toBe(0);
  });
});
