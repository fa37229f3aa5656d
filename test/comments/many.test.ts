import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { comment } from "../../src/db/review-tables.ts";
import type { SandboxProvider } from "../../src/sandboxes/sandbox.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { reviewApp, seedWork } from "../review/fixture.ts";
import { commitStates, type State } from "../sandboxes/git/histories.ts";
import { withRepository } from "./fixture.ts";

interface Shown {
  current: { path: string; line: number } | null;
}

const FILES = 20;
const COMMITS = 40;

/** After so many commits: each has put a line before all others of one file. */
const stateAfter = (commits: number): State =>
  new Map(
    Array.from({ length: FILES }, (_, index) => {
      const added = Array.from({ length: commits }, (_, at) => at + 1).filter((at) => at % FILES === index);
      const lines = [...added.reverse().map((at) => `added ${at}`), "one", "two", "three"];
      return [`${index}.txt`, { mode: "100644", content: Buffer.from(`${lines.join("\n")}\n`) }];
    }),
  );

/** Reads of each kind of repositories: each is a run of git. */
function counted({ repositoryFor }: Pick<SandboxProvider, "repositoryFor">) {
  const runs: Record<string, number> = {};
  const provider: Pick<SandboxProvider, "repositoryFor"> = {
    repositoryFor(of) {
      const repository = repositoryFor(of);
      const read = Object.fromEntries(
        Object.entries(repository.read).map(([name, run]) => [
          name,
          (...args: never[]) => {
            runs[name] = (runs[name] ?? 0) + 1;
            return (run as (...args: never[]) => unknown)(...args);
          },
        ]),
      ) as unknown as typeof repository.read;
      return { ...repository, read };
    },
  };
  return { provider, runs };
}

describeEachDatabase("hundreds of comments", (database) => {
  const of = withRepository();

  test(
    "of many commits are found by few runs of git",
    async () => {
      const { sandboxes, repo } = of;
      await commitStates(repo, [
        { branch: "main", state: stateAfter(0) },
        ...Array.from({ length: COMMITS }, (_, at) => ({ branch: "prompt/many", state: stateAfter(at + 1) })),
      ]);
      const base = (await repo.git("rev-parse", "prompt/many~40")).trim();
      const commits = (await repo.git("rev-list", "--reverse", "-40", "prompt/many")).trim().split("\n");
      const head = commits.at(-1) ?? "";
      const prompts = [{ start: base, commit: head }];
      const { sessionId } = await seedWork(database(), repo, { branch: "prompt/many", prompts });
      const about = commits.flatMap((commit, at) =>
        Array.from({ length: 10 }, (_, index) => ({ commit, path: `${(at + index) % FILES}.txt` })),
      );
      await database()
        .orm.insert(comment)
        .values(
          about.map((one) => ({
            ...{ id: Bun.randomUUIDv7(), sessionId, ...one, side: "new" as const, line: 1, endLine: 1 },
            ...{ text: "Why?", code: "one" },
          })),
        );
      const { provider, runs } = counted(sandboxes.provider);
      const list = async () => {
        const { get } = reviewApp(database(), { provider });
        const reply = await get(`/sessions/${sessionId}/comments`);
        return ((await reply.json()) as { comments: Shown[] }).comments;
      };
      const comments = await list();
      // Each commit after its own has put one more line before it, where it was of the same file.
      const expected = about.map(({ commit, path }) => {
        const own = commits.indexOf(commit) + 1;
        const file = Number.parseInt(path, 10);
        const later = Array.from({ length: COMMITS - own }, (_, index) => own + 1 + index);
        return { path, line: 1 + later.filter((at) => at % FILES === file).length };
      });
      expect(comments).toHaveLength(400);
      expect(comments.map(({ current }) => ({ path: current?.path, line: current?.line }))).toEqual(expected);
      expect([runs["diffsTo"], runs["diff"]]).toEqual([1, undefined]);
      // A commit that the store has not got is unknown, and costs no more than its own look.
      await database()
        .orm.update(comment)
        .set({ commit: "0".repeat(40) })
        .where(eq(comment.commit, commits[0] ?? ""));
      const again = await list();
      expect(again.filter(({ current }) => current === null)).toHaveLength(10);
      expect([runs["diffsTo"], runs["diff"]]).toEqual([2, 1]);
    },
    SLOW_TEST_TIMEOUT_MS,
  );
});
