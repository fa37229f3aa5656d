import { expect, setDefaultTimeout, test } from "bun:test";
import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClaudeAgent } from "../../src/agents/claude.ts";
import { type Keeps, keepState, restoreState } from "../../src/sandboxes/kept-state.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const ID = "3f0c7c1e-8a31-4b52-9a37-0d3a4f1f0a01";
const claude = createClaudeAgent({ program: () => undefined, missing: "" });
const transcriptOnly: Keeps = (path, isFolder) => claude.keeps(path, isFolder, ID);
const everything: Keeps = () => true;
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
    /** What the next sandbox gets. */
    async pass(keeps: Keeps) {
      await keepState(state, folder, keeps);
      await restoreState(folder, next, keeps);
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
  await restoreState(fixture.folder, fixture.next, transcriptOnly);
  expect(await readdir(fixture.next)).toEqual(["projects"]);
  await keepState(fixture.next, fixture.folder, transcriptOnly);
  expect(await readdir(fixture.folder)).toEqual(["kept"]);
});

test.each<[string, (path: string, secret: string) => Promise<unknown>]>([
  ["a link to a file of this machine", (path, secret) => symlink(secret, path)],
  ["a FIFO", (path) => Bun.$`mkfifo ${path}`.quiet()],
  ["a folder", (path) => mkdir(path)],
  [
    "40 GB of nothing",
    async (path) => {
      await writeFile(path, "");
      await truncate(path, 40e9);
    },
  ],
  ["a device", (path) => Bun.$`mknod ${path} c 1 5`.quiet().nothrow()],
])("%s in the place of the transcript is not kept", async (_name, plant) => {
  await using fixture = await openFixture();
  const secret = join(fixture.root, "secret");
  await writeFile(secret, "secret");
  await plant(join(fixture.state, TRANSCRIPT), secret);
  expect(await fixture.pass(everything)).toEqual([]);
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

test("a state folder without end is kept up to its limits", async () => {
  await using fixture = await openFixture();
  const file = await open(join(fixture.state, "large"), "w");
  await file.truncate(60 * 1024 ** 2);
  await file.close();
  await Bun.$`cp --sparse=always ${join(fixture.state, "large")} ${join(fixture.state, "large2")}`.quiet();
  const many = "cd $0 && seq -f n%g 3000 | xargs touch";
  await Bun.$`sh -c ${many} ${fixture.state}`.quiet();
  const kept = await fixture.pass(everything);
  expect(kept.filter((one) => one.startsWith("large")).length).toBeLessThanOrEqual(1);
  expect(kept.length).toBeLessThanOrEqual(2_000);
  let deep = join(fixture.state, "d");
  for (let depth = 0; depth < 50; depth += 1) deep = join(deep, "d");
  await mkdir(deep, { recursive: true });
  await keepState(fixture.state, fixture.folder, everything);
});

// Bun reads a folder whole before its first entry: the limit of entries bounded neither its time nor its memory.
test("attack: a folder with more names than anybody lists is left out, and what is beside it is kept", async () => {
  await using fixture = await openFixture();
  await mkdir(join(fixture.state, "many"));
  const many = `cd $0 && seq -f ${"n".repeat(60)}%g 7000 | xargs touch`;
  await Bun.$`sh -c ${many} ${join(fixture.state, "many")}`.quiet();
  await fixture.plant("other");
  expect(await fixture.pass(everything)).toEqual(["other"]);
});
