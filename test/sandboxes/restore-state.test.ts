import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MemoryFile } from "../../src/db/json-columns.ts";
import { keepState } from "../../src/sandboxes/kept-state.ts";
import { restoreState, StateDamaged } from "../../src/sandboxes/restore-state.ts";
import { hashOf, PIECE_BYTES } from "../../src/sandboxes/state-pieces.ts";
import { MIB } from "../../src/shared/units.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** Three pieces, the last of them short. */
const PIECES = [
  Buffer.alloc(PIECE_BYTES, "a"),
  Buffer.alloc(PIECE_BYTES, "b"),
  Buffer.from("the end"),
] as const;
const TEXT = Buffer.concat(PIECES);
const FILE: MemoryFile = { path: "sub/file", size: TEXT.length, chunks: PIECES.map(hashOf) };

/** Where this machine keeps the session's files, a new state folder, and the database's pieces, with what is asked of them. */
async function openFixture() {
  const root = await mkdtemp(join(tmpdir(), "pb-restore-"));
  const [state, folder] = [join(root, "state"), join(root, "folder")];
  await Promise.all([mkdir(state), mkdir(folder)]);
  const database = new Map<string, Uint8Array>(PIECES.map((piece) => [hashOf(piece), piece]));
  const asked: string[] = [];
  return {
    ...{ root, state, folder, database, asked },
    restore: (files: MemoryFile[] = [FILE]) =>
      restoreState(folder, state, {
        files,
        async pieces(hashes) {
          asked.push(...hashes);
          return new Map([...database].filter(([hash]) => hashes.includes(hash)));
        },
      }),
    /** Lets this machine keep a file of this content. */
    async keep(content: Uint8Array | string) {
      const from = join(root, "from");
      await mkdir(join(from, "sub"), { recursive: true });
      await writeFile(join(from, "sub/file"), content);
      await keepState(from, folder, () => true, MIB);
    },
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}
test("a state is restored from the database, for its owner alone", async () => {
  await using fixture = await openFixture();
  await fixture.restore([FILE, { path: "run", size: 7, chunks: [hashOf(PIECES[2])], executable: true }]);
  expect(await readFile(join(fixture.state, "sub/file"))).toEqual(TEXT);
  expect((await stat(join(fixture.state, "sub/file"))).mode & 0o7777).toBe(0o600);
  expect((await stat(join(fixture.state, "run"))).mode & 0o7777).toBe(0o700);
});

test("of what this machine has kept, the pieces are used whose content is what their names say; the others are fetched", async () => {
  await using fixture = await openFixture();
  // As long as it was, but of another prompt in its middle.
  await fixture.keep(Buffer.concat([PIECES[0], Buffer.alloc(PIECE_BYTES, "x"), PIECES[2]]));
  await fixture.restore();
  expect(await readFile(join(fixture.state, "sub/file"))).toEqual(TEXT);
  expect(fixture.asked).toEqual([hashOf(PIECES[1])]);
});

test("what this machine has kept of a shorter file does not count as the next piece", async () => {
  await using fixture = await openFixture();
  await fixture.keep("");
  await fixture.restore();
  expect(await readFile(join(fixture.state, "sub/file"))).toEqual(TEXT);
  expect(fixture.asked).toEqual(FILE.chunks);
});

test.each<[string, (database: Map<string, Uint8Array>) => unknown]>([
  ["missing", (database) => database.delete(hashOf(PIECES[1]))],
  ["another one of the same length", (database) => database.set(hashOf(PIECES[1]), PIECES[0])],
  ["shorter than it was", (database) => database.set(hashOf(PIECES[1]), PIECES[1].subarray(1))],
  ["longer than it was", (database) => database.set(hashOf(PIECES[2]), Buffer.from("the end."))],
])("a state of which a piece is %s is damaged", async (_how, harm) => {
  await using fixture = await openFixture();
  harm(fixture.database);
  await expect(fixture.restore()).rejects.toThrow(StateDamaged);
});

test.each([
  ["too many pieces", { ...FILE, size: PIECE_BYTES }],
  ["its last piece whole", { ...FILE, size: TEXT.length + 1 }],
])("a list that says %s of a file is damaged", async (_how, file) => {
  await using fixture = await openFixture();
  await expect(fixture.restore([file])).rejects.toThrow(StateDamaged);
});

test.each(["", "/etc/x", "../x", "a/../../x", "a//b", "a/./b", "..", "a/.."])(
  "attack: a list with the path %j is refused, and nothing is written",
  async (path) => {
    await using fixture = await openFixture();
    await expect(fixture.restore([{ ...FILE, path }])).rejects.toThrow("not a path below the state folder");
    expect(await readdir(fixture.state)).toEqual([]);
    expect(existsSync(join(fixture.root, "x"))).toBe(false);
  },
);

test("a list that names a file twice is refused: none is written over", async () => {
  await using fixture = await openFixture();
  await expect(fixture.restore([FILE, FILE])).rejects.toThrow();
});
