import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { discardTranscripts, hasTranscript } from "../../src/agents/claude-transcripts.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const ID = "3f0c7c1e-8a31-4b52-9a37-0d3a4f1f0a01";
const MESSAGE = '{"parentUuid":null,"type":"user","message":{"role":"user","content":"hi"}}\n';
const OTHER = '{"type":"queue-operation","content":"say \\"type\\":\\"user\\""}\n';

let state: string;
let file: string;
beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), "pb-transcripts-"));
  await mkdir(join(state, "projects/-workspace"), { recursive: true });
  file = join(state, "projects/-workspace", `${ID}.jsonl`);
});
afterEach(() => rm(state, { recursive: true }));

const discard = () => discardTranscripts(state, ID, "unusable");

describe("hasTranscript", () => {
  test("no state, no transcript, another conversation's", async () => {
    expect(await hasTranscript(join(state, "none"), ID)).toBe(false);
    expect(await hasTranscript(state, ID)).toBe(false);
    await writeFile(join(state, "projects/-workspace/other.jsonl"), MESSAGE);
    expect(await hasTranscript(state, ID)).toBe(false);
  });

  /** Cause: the predicate removed the file. */
  test.each(["", OTHER])("a transcript without a message, %j: false, and the file stays", async (text) => {
    await writeFile(file, text);
    expect(await hasTranscript(state, ID)).toBe(false);
    expect(existsSync(file)).toBe(true);
  });

  test("a message anywhere, also across the pieces in which the file is read", async () => {
    const chunk = 256 * 1024;
    for (const at of [0, 1_000, chunk - 40, chunk - 30, chunk - 20, chunk, 3 * chunk - 25]) {
      await writeFile(file, `${"x".repeat(at)}\n${MESSAGE}`);
      expect([at, await hasTranscript(state, ID)]).toEqual([at, true]);
    }
  });

  test("a huge file is searched without being read into memory, and not to its end", async () => {
    await writeFile(file, OTHER);
    await truncate(file, 1024 ** 4);
    const [before, begin] = [process.memoryUsage().rss, performance.now()];
    expect(await hasTranscript(state, ID)).toBe(false);
    expect(performance.now() - begin).toBeLessThan(5_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * 1024 * 1024);
  });
});

describe("discardTranscripts", () => {
  test("removes a transcript without a message, and no other", async () => {
    await mkdir(join(state, "projects/-moved"));
    const usable = join(state, "projects/-moved", `${ID}.jsonl`);
    await writeFile(usable, OTHER + MESSAGE);
    await writeFile(file, OTHER);
    await discard();
    expect([existsSync(file), existsSync(usable)]).toEqual([false, true]);
    expect(await hasTranscript(state, ID)).toBe(true);
  });

  test("follows no link and waits for no FIFO", async () => {
    const outside = join(state, "outside");
    await writeFile(outside, "");
    await symlink(outside, file);
    await mkdir(join(state, "projects/-fifo"));
    await Bun.$`mkfifo ${join(state, "projects/-fifo", `${ID}.jsonl`)}`.quiet();
    await discard();
    expect(existsSync(outside)).toBe(true);
    expect(await hasTranscript(state, ID)).toBe(false);
  });
});

// An agent's state folder may have hundreds of thousands of entries, each of which named a file to be searched.
describe("attack: more working directories than a conversation has", () => {
  test("of many, a hundred are searched", async () => {
    const plant = `cd $0 && for n in $(seq 119); do mkdir $n && printf '%s' "$1" >$n/$2.jsonl; done`;
    await Bun.$`sh -c ${plant} ${join(state, "projects")} ${OTHER} ${ID}`.quiet();
    await discard();
    const left = await Array.fromAsync(new Bun.Glob("projects/*/*.jsonl").scan(state));
    // That of /workspace was not made.
    expect(left.length).toBeOneOf([19, 20]);
  });

  test("of too many to be listed, none", async () => {
    const plant = `cd $0 && seq -f ${"n".repeat(60)}%g 7000 | xargs touch`;
    await Bun.$`sh -c ${plant} ${join(state, "projects")}`.quiet();
    await writeFile(file, OTHER);
    await discard();
    expect(existsSync(file)).toBe(true);
  });
});
