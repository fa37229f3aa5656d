import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClaudeAgent } from "../../src/agents/claude.ts";
import { copyKept, type Keeps, keepState, type StateProblem } from "../../src/sandboxes/kept-state.ts";
import { restoreState } from "../../src/sandboxes/restore-state.ts";
import { MIB } from "../../src/shared/units.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const ID = "3f0c7c1e-8a31-4b52-9a37-0d3a4f1f0a01";
const claude = createClaudeAgent({ program: () => undefined, missing: "" });
const transcriptOnly: Keeps = (path, isFolder) => claude.keeps(path, isFolder, ID);
const everything: Keeps = () => true;
const LIMIT = 64 * MIB;
const TRANSCRIPT = `projects/-workspace/${ID}.jsonl`;

/** A hostile state folder, the service's own one, and the state of the next sandbox. */
async function openFixture() {
  const root = await mkdtemp(join(tmpdir(), "pb-kept-"));
  const [state, folder, next] = ["state", "conversations", "next"].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(join(state, "projects/-workspace"), { recursive: true });
  await mkdir(folder);
  await mkdir(next);
  return {
    ...{ root, state, folder, next },
    plant: async (path: string, text = "planted") => {
      await mkdir(join(state, path, ".."), { recursive: true });
      await writeFile(join(state, path), text);
    },
    /** What the next sandbox gets, or why it gets nothing. */
    async pass(keeps: Keeps) {
      const { problem, files } = await keepState(state, folder, keeps, LIMIT);
      if (problem) return problem;
      await restoreState(folder, next, { files, pieces: async () => new Map() });
      return (await readdir(next, { recursive: true, withFileTypes: true }))
        .filter((one) => !one.isDirectory())
        .map((one) => join(one.parentPath, one.name).slice(next.length + 1))
        .sort();
    },
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

test("only Claude Code's transcript of this conversation reaches the next prompt", async () => {
  await using fixture = await openFixture();
  const planted = [
    "settings.json",
    "CLAUDE.md",
    ".claude.json",
    ".credentials.json",
    "agents/a.md",
    "commands/c.md",
  ];
  const near = [
    "projects/x",
    "projects/-workspace/memory/MEMORY.md",
    `projects/-workspace/${ID}/${ID}.jsonl`,
  ];
  for (const one of [
    ...planted,
    ...near,
    "plugins/p/hooks.json",
    `projects/-workspace/${CONVERSATION_OF_ANOTHER}.jsonl`,
  ])
    await fixture.plant(one);
  await fixture.plant(TRANSCRIPT, "words");
  expect(await fixture.pass(transcriptOnly)).toEqual([TRANSCRIPT]);
  expect(await readFile(join(fixture.next, TRANSCRIPT), "utf8")).toBe("words");
});
const CONVERSATION_OF_ANOTHER = "00000000-0000-4000-8000-000000000000";

test("an earlier version's folder, where agents could write, gives its transcript and nothing else", async () => {
  await using fixture = await openFixture();
  await mkdir(join(fixture.folder, "projects/-workspace"), { recursive: true });
  await writeFile(join(fixture.folder, TRANSCRIPT), "words");
  await writeFile(join(fixture.folder, "settings.json"), "planted");
  await copyKept(fixture.folder, fixture.next, transcriptOnly, LIMIT);
  expect(await readdir(fixture.next)).toEqual(["projects"]);
  await keepState(fixture.next, fixture.folder, transcriptOnly, LIMIT);
  expect(await readdir(fixture.folder)).toEqual(["kept"]);
});

test.each<[string, (path: string, secret: string) => Promise<unknown>, StateProblem]>([
  ["a link to a file of this machine", (path, secret) => symlink(secret, path), "not_files"],
  ["a FIFO", (path) => Bun.$`mkfifo ${path}`.quiet(), "not_files"],
  ["a folder", (path) => mkdir(path), "not_files"],
  [
    "40 GB of nothing",
    async (path) => {
      await writeFile(path, "");
      await truncate(path, 40e9);
    },
    "too_large",
  ],
  ["a device", (path) => Bun.$`mknod ${path} c 1 5`.quiet().nothrow(), "not_files"],
])("%s in the place of the transcript is refused, at once", async (name, plant, problem) => {
  await using fixture = await openFixture();
  const secret = join(fixture.root, "secret");
  await writeFile(secret, "secret");
  await plant(join(fixture.state, TRANSCRIPT), secret);
  const began = performance.now();
  // A folder of that name has no files in it.
  expect(await fixture.pass(name === "a folder" ? everything : transcriptOnly)).toEqual(
    name === "a folder" ? [] : problem,
  );
  // Reading 40 GB takes a minute, and a FIFO that nobody writes to blocks for ever.
  expect(performance.now() - began).toBeLessThan(2_000);
  expect((await stat(fixture.folder)).size).toBeLessThan(1e6);
});

test.each([
  ["projects", ""],
  ["projects/-workspace", ""],
  ["", ""],
])("a link in the place of the folder %j is not followed", async (path) => {
  await using fixture = await openFixture();
  const outside = join(fixture.root, "outside");
  await mkdir(join(outside, "projects/-workspace"), { recursive: true });
  await writeFile(join(outside, TRANSCRIPT), "secret");
  const place = join(fixture.state, path);
  await rm(place, { recursive: true });
  await symlink(join(outside, path), place);
  expect(await fixture.pass(transcriptOnly)).toEqual([]);
});

test.each<[string, (state: string) => Promise<unknown>, StateProblem]>([
  [
    "two files that are over the limit together",
    async (state) => {
      for (const name of ["one", "two"]) {
        await writeFile(join(state, name), "");
        await truncate(join(state, name), LIMIT / 2 + 1);
      }
    },
    "too_large",
  ],
  [
    "3,000 files",
    (state) => Bun.$`sh -c ${"cd $0 && seq -f n%g 3000 | xargs touch"} ${state}`.quiet(),
    "too_many",
  ],
  [
    "50 levels of folders",
    (state) => mkdir(join(state, ...Array(50).fill("d")), { recursive: true }),
    "too_many",
  ],
])("a state with %s is refused as a whole", async (_name, plant, problem) => {
  await using fixture = await openFixture();
  await fixture.plant("other");
  await plant(fixture.state);
  expect(await fixture.pass(everything)).toEqual(problem);
  expect(await readdir(join(fixture.folder, "kept"))).toEqual([]);
});

// Bun reads a folder whole before its first entry: the limit of entries bounded neither its time nor its memory.
test("attack: a folder with more names than anybody lists is refused, at once", async () => {
  await using fixture = await openFixture();
  await mkdir(join(fixture.state, "many"));
  const many = `cd $0 && seq -f ${"n".repeat(60)}%g 7000 | xargs touch`;
  await Bun.$`sh -c ${many} ${join(fixture.state, "many")}`.quiet();
  await fixture.plant("other");
  expect(await fixture.pass(everything)).toEqual("too_many");
});
