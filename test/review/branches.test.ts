import { expect, test } from "bun:test";
import type { Orm } from "../../src/db/client.ts";
import { openBranchFinder } from "../../src/review/branches.ts";
import type { WorkRow } from "../../src/review/store.ts";
import { RepositoryError } from "../../src/sandboxes/sandbox.ts";
import { emptyRepositories } from "./fixture.ts";

const [BASE, OLD, HEAD] = ["b", "0", "a"].map((digit) => digit.repeat(40)) as [string, string, string];
const ROW: WorkRow = {
  ...{ id: "one", userId: "alice", repo: "owner/name", targetBranch: "main", branch: "prompt/one" },
  ...{ startCommit: null, pushedCommit: HEAD, unpushedCommit: null, unpushedHost: null },
  prompts: [{ id: "p", start: BASE, commit: HEAD }],
};
const away = () => Promise.reject(new RepositoryError("The host is away.", undefined, "git_host"));
const never = () => new Promise<never>(() => undefined);

/** @param stored the work's commit in the store, if there is any. */
function finder(
  fetch: (request: { repo: string }) => Promise<{ start: string; base: string }>,
  stored?: string,
) {
  const { read } = emptyRepositories.repositoryFor(ROW);
  return openBranchFinder({
    orm: {} as Orm,
    patience: { some: 5, none: 10 },
    sandboxes: {
      repositoryFor: () => ({
        fetch,
        read: {
          ...read,
          commits: async () => (stored === undefined ? undefined : { target: BASE, head: stored }),
          isIn: async (one, other) => one === other,
          parted: async () => ({ base: BASE, since: BASE }),
        },
      }),
    },
  });
}

test("what was fetched is the answer, and is not fetched again for a while", async () => {
  let fetches = 0;
  const found = finder(async () => {
    fetches += 1;
    return { start: HEAD, base: BASE };
  });
  expect(await found.find(ROW)).toMatchObject({ target: BASE, head: HEAD, base: BASE, merged: false });
  await found.find(ROW);
  expect(fetches).toBe(1);
  await found.find({ ...ROW, pushedCommit: OLD });
  expect(fetches).toBe(2);
  await found.find({ ...ROW, pushedCommit: OLD }, { fresh: true });
  expect(fetches).toBe(3);
});

test.each([
  ["does not answer", away],
  ["takes its time", never],
])(
  "a host that %s: what this machine has is the answer, if it is all that the session has done",
  async (_, fetch) => {
    expect(await finder(fetch, HEAD).find(ROW)).toMatchObject({ head: HEAD, base: BASE });
    for (const stored of [OLD, undefined])
      await expect(finder(fetch, stored).find(ROW)).rejects.toMatchObject({ code: "repository_unavailable" });
  },
);

test("a repository that cannot be read is said to be so", async () => {
  const gone = () => Promise.reject(new RepositoryError("It does not exist."));
  await expect(finder(gone).find(ROW)).rejects.toMatchObject({
    ...{ code: "repository_unreadable", message: "It does not exist." },
  });
});

test("a host that takes its time keeps only its own user waiting", async () => {
  const found = finder(({ repo }) =>
    repo === "owner/slow" ? never() : Promise.resolve({ start: HEAD, base: BASE }),
  );
  // More than are fetched at once.
  for (let index = 0; index < 10; index += 1)
    found.find({ ...ROW, id: `slow${index}`, userId: "mallory", repo: "owner/slow" }).catch(() => undefined);
  expect(await found.find(ROW)).toMatchObject({ head: HEAD });
});
