import { expect, test } from "bun:test";
import { RepositoryError } from "../../../src/sandboxes/git/git-errors.ts";
import { fetchWhatFits } from "../../../src/sandboxes/git/shallow.ts";

const FOUND = { start: "a", base: "b", lfs: false, cut: true, apart: false };
const AWAY = new RepositoryError("The host is away.", undefined, "git_host");
const LATE = new RepositoryError("git was stopped: it took longer than 10 minutes", undefined, "git_host");
const LARGE = new RepositoryError("fatal: write error: File too large");

/** @param replies of each fetch, in order; the last one is that of all that follow. */
async function fetches(
  replies: readonly (typeof FOUND | Error)[],
  more: Partial<Parameters<typeof fetchWhatFits>[0]> = {},
) {
  const tried: string[] = [];
  const result = fetchWhatFits({
    async fetch(history) {
      const reply = replies[Math.min(tried.push(history), replies.length) - 1];
      if (reply === undefined || reply instanceof Error) throw reply;
      return reply;
    },
    async reach() {
      tried.push("reach");
      return true;
    },
    async keepBegin() {
      tried.push("keepBegin");
    },
    ...more,
  });
  return { found: await result.catch((error: unknown) => error), tried };
}

test("a history that fits is fetched whole", async () => {
  expect(await fetches([FOUND])).toEqual({ found: FOUND, tried: [""] });
});

test.each([
  ["size", LARGE],
  ["time", LATE],
  ["memory", new RepositoryError("git was stopped: it needed more than 1536 MB of memory")],
  ["address space", new RepositoryError("fatal: Out of memory, malloc failed (tried to allocate 10 bytes)")],
])("of one that does not fit by its %s, the newest commits are, as many as fit", async (_, error) => {
  expect(await fetches([error, FOUND])).toEqual({ found: FOUND, tried: ["", "--depth=50"] });
  expect(await fetches([error, error, FOUND])).toEqual({
    found: FOUND,
    tried: ["", "--depth=50", "--depth=1"],
  });
  expect(await fetches([error])).toEqual({ found: error, tried: ["", "--depth=50", "--depth=1"] });
});

test("what fails for another reason is not tried with fewer commits", async () => {
  expect(await fetches([AWAY])).toEqual({ found: AWAY, tried: [""] });
  expect(await fetches([LARGE, AWAY])).toEqual({ found: AWAY, tried: ["", "--depth=50"] });
  const aborted = new Error("aborted");
  expect(await fetches([aborted])).toEqual({ found: aborted, tried: [""] });
});

test("where nothing in common is seen, it is looked for, and given up if that is too much, but not while the host is away", async () => {
  const apart = { ...FOUND, apart: true };
  expect((await fetches([apart])).tried).toEqual(["", "reach"]);
  const given = async (reach: () => Promise<boolean>) => (await fetches([apart], { reach })).tried.slice(1);
  expect(await given(async () => false)).toEqual(["keepBegin"]);
  expect(await given(() => Promise.reject(LARGE))).toEqual(["keepBegin"]);
  expect(await given(() => Promise.reject(LATE))).toEqual(["keepBegin"]);
  expect(await given(() => Promise.reject(AWAY))).toEqual([]);
  // What is fetched is enough for a checkout.
  const keepBegin = () => Promise.reject(LARGE);
  expect((await fetches([apart], { reach: async () => false, keepBegin })).found).toEqual(apart);
  const aborted = new Error("aborted");
  expect((await fetches([apart], { reach: () => Promise.reject(aborted) })).found).toBe(aborted);
});
