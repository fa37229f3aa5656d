import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
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

/** In memory where there is such a folder: there, files are made in microseconds. */
const FAST = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** A hostile state folder, the service's own one, and the state of the next sandbox. */
async function openFixture(parent = tmpdir()) {
  const root = await mkdtemp(join(parent, "pb-kept-"));
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

// A million takes as long as these.
test("attack: 20,000 files beside the transcript are refused, at once", async () => {
  await using fixture = await openFixture(FAST);
  await fixture.plant(TRANSCRIPT, '{"type":"user"}');
  const folder = join(fixture.state, TRANSCRIPT, "..");
  await Bun.$`sh -c ${`cd $0 && seq -f ${"n".repeat(60)}%g 20000 | xargs touch`} ${folder}`.quiet();
  const began = performance.now();
  expect(await fixture.pass(transcriptOnly)).toEqual("too_many");
  expect(performance.now() - began).toBeLessThan(2_000);
  expect(await claude.hasTranscript(fixture.state, ID)).toBe(true);
  expect(await readdir(join(fixture.folder, "kept"))).toEqual([]);
});

// Bun reads a folder whole before its first entry: the limit of entries bounded neither its time nor its memory.
test("attack: a folder is refused by its size, before it is listed", async () => {
  await using fixture = await openFixture();
  const many = join(fixture.state, "many");
  await mkdir(many);
  // Fewer than the limit of entries; too many for a folder, except on file systems that count its names only.
  for (let n = 0; n < 600; n += 1) await writeFile(join(many, `${n}`.padEnd(250, "n")), "");
  const expected = (await stat(many)).size > 128 * 1024 ? "too_many" : 600;
  const passed = await fixture.pass(everything);
  expect(typeof passed === "string" ? passed : passed.length).toEqual(expected);
});

test.each<[string, (path: string, outside: string) => void]>([
  ["a file is replaced by a link", (path, outside) => symlinkSync(join(outside, "secret"), path)],
  ["a file is replaced by a FIFO", (path) => Bun.spawnSync(["mkfifo", path])],
  ["a file is replaced by a folder", (path) => mkdirSync(path)],
])("attack: %s while it is looked at", async (_name, replace) => {
  await using fixture = await openFixture();
  const outside = join(fixture.root, "outside");
  await mkdir(outside);
  await writeFile(join(outside, "secret"), "secret");
  await fixture.plant("file");
  const keeps: Keeps = (path) => {
    if (path === "file") {
      rmSync(join(fixture.state, path));
      replace(join(fixture.state, path), outside);
    }
    return path === "file";
  };
  expect(await fixture.pass(keeps)).toBe("not_files");
});

test("attack: a folder that is replaced by a link while it is looked at is not followed", async () => {
  await using fixture = await openFixture();
  const { root, state, next } = fixture;
  const outside = join(root, "outside");
  await mkdir(outside);
  for (const name of ["file", "secret"]) await writeFile(join(outside, name), "secret");
  await fixture.plant("early/file");
  await fixture.plant("late/file");
  const exchange = (path: string) => {
    renameSync(join(state, path), join(root, `${path}-before`));
    symlinkSync(outside, join(state, path));
  };
  // One before it is opened, one before its file is.
  const keeps: Keeps = (path) => {
    if (path === "early") exchange("early");
    if (path === "late/file") exchange("late");
    return true;
  };
  expect(await fixture.pass(keeps)).toEqual(["late/file"]);
  expect(await readFile(join(next, "late/file"), "utf8")).toBe("planted");
});

// As the kernel says 0 bytes of its reports, and 4,096 of its settings.
test.each([
  ["more", `/proc/${process.pid}`, "status"],
  ["less", "/sys/kernel/mm/transparent_hugepage", "enabled"],
])(
  "a file that has %s than stat has said is not read further, and none is padded",
  async (how, state, name) => {
    if (!existsSync(join(state, name))) return;
    await using fixture = await openFixture();
    const { problem, files } = await keepState(state, fixture.folder, (path) => path === name, LIMIT);
    expect({ problem, files }).toEqual(
      how === "more"
        ? { problem: undefined, files: [{ path: name, size: 0, chunks: [] }] }
        : { problem: "not_files", files: [] },
    );
  },
);

test("a kept file may be executed by its owner, and has no other right", async () => {
  await using fixture = await openFixture();
  for (const [name, mode] of [
    ["program", 0o4755],
    ["text", 0o666],
  ] as const) {
    await fixture.plant(name);
    await chmod(join(fixture.state, name), mode);
  }
  await fixture.pass(everything);
  for (const folder of [join(fixture.folder, "kept"), fixture.next]) {
    expect((await stat(join(folder, "program"))).mode & 0o7777).toBe(0o700);
    expect((await stat(join(folder, "text"))).mode & 0o7777).toBe(0o600);
  }
});

test("a crash while the files are replaced loses neither the old ones nor the place for new ones", async () => {
  await using fixture = await openFixture();
  const { folder, next } = fixture;
  await fixture.plant("file", "old");
  await fixture.pass(everything);
  await rename(join(folder, "kept"), join(folder, "old"));
  await mkdir(join(folder, "new"));
  await writeFile(join(folder, "new/half"), "half");
  await rm(next, { recursive: true });
  await mkdir(next);
  await copyKept(folder, next, everything, LIMIT);
  expect(await readFile(join(next, "file"), "utf8")).toBe("old");
  expect((await readdir(next)).sort()).toEqual(["file", "projects"]);
  await fixture.plant("file", "new");
  await keepState(fixture.state, folder, everything, LIMIT);
  expect(await readdir(folder)).toEqual(["kept"]);
  expect(await readFile(join(folder, "kept/file"), "utf8")).toBe("new");
});
