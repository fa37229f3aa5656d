import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { prompt, session } from "../../src/db/tables.ts";
import { ask } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { reviewApp, seedWork } from "../review/fixture.ts";
import { commitStates, type State } from "../sandboxes/git/histories.ts";
import { withRepository } from "./fixture.ts";

const file = (text: string) => ({ mode: "100644", content: Buffer.from(text) });
const LATIN = "latin-\xe9.txt";
const NEWLINE = 'a "b"\nc.txt';
const LONG = Array.from({ length: 40 }, (_, line) => `line ${line + 1}\n`);
const BASE: State = new Map([["old name.txt", file(LONG.join(""))]]);
const FIRST: State = new Map([...BASE, [LATIN, file("x\ny\n")], [NEWLINE, file("1\n2\n3")]]);
/** The file got another name, two lines at its beginning, and another line 20. */
const SECOND: State = new Map([
  ["new name.txt", file(["zero\n", "zero\n", ...LONG].join("").replace("line 20\n", "LINE 20\n"))],
  [LATIN, file("y\n")],
  [NEWLINE, file("0\n1\n2\n3")],
]);

describeEachDatabase("comments on a repository", (database) => {
  const of = withRepository();

  test(
    "follow their lines from commit to commit, in files of any name",
    async () => {
      const { sandboxes, repo } = of;
      await commitStates(repo, [
        { branch: "main", state: BASE },
        { branch: "prompt/one", state: FIRST },
        { branch: "prompt/other", state: SECOND },
      ]);
      const tip = async (branch: string) => (await repo.git("rev-parse", branch)).trim();
      const [base, head, later] = [await tip("main"), await tip("prompt/one"), await tip("prompt/other")];
      const work = { branch: "prompt/one", prompts: [{ start: base, commit: head }] };
      const { sessionId } = await seedWork(database(), repo, work);
      const other = await seedWork(database(), repo, { branch: "prompt/other", user: "bob", prompts: [] });
      const { app } = reviewApp(database(), sandboxes);
      const path = `/sessions/${sessionId}/comments`;
      const post = (about: object, user = "alice", session = sessionId) =>
        ask(app, user, "POST", `/sessions/${session}/comments`, {
          ...{ commit: head, side: "new", text: "Why?" },
          ...about,
        });
      const quoted = String.raw`"latin-\351.txt"`;
      for (const about of [
        { path: "old name.txt", line: 19, end_line: 19 },
        { path: "old name.txt", line: 20 },
        { path: "old name.txt", line: 21, end_line: 40 },
        { path: "old name.txt" },
        { path: "old name.txt", side: "old", commit: base, line: 20 },
        { path: quoted, line: 1 },
        { path: quoted, line: 2 },
        { path: NEWLINE, line: 2, end_line: 3 },
      ])
        expect([about, (await post(about)).status]).toEqual([about, 200]);
      // From now on the store has it, too.
      expect((await post({ commit: later, path: NEWLINE }, "bob", other.sessionId)).status).toBe(200);
      for (const [about, status] of [
        [{ commit: later, path: NEWLINE }, 404],
        [{ commit: "0".repeat(40), path: NEWLINE }, 404],
        [{ path: "latin-é.txt" }, 404],
        [{ path: "../secret" }, 404],
        [{ path: NEWLINE, line: 4 }, 422],
        [{ path: NEWLINE, line: 3, end_line: 4 }, 422],
      ] as const)
        expect([about, (await post(about)).status]).toEqual([about, status]);

      await repo.git("branch", "--force", "prompt/one", later);
      const next = { id: Bun.randomUUIDv7(), sessionId, userId: "alice", seq: 2, data: "x" };
      await database()
        .orm.insert(prompt)
        .values({ ...next, status: "Completed", startCommit: head, commit: later });
      await database().orm.update(session).set({ pushedCommit: later }).where(eq(session.id, sessionId));
      const { comments } = (await ask(app, "alice", "GET", path)).body;
      const renamed = (line: number | null, end_line = line) => ({ path: "new name.txt", line, end_line });
      expect(comments.map(({ code, current }: { code: string; current: object }) => [code, current])).toEqual(
        [
          ["line 19", renamed(21)],
          ["line 20", null],
          [LONG.slice(20).join("").trimEnd(), renamed(23, 42)],
          ["", renamed(null)],
          ["line 20", { path: "old name.txt", line: 20, end_line: 20 }],
          ["x", null],
          ["y", { path: quoted, line: 1, end_line: 1 }],
          ["2\n3", { path: NEWLINE, line: 3, end_line: 4 }],
        ],
      );
      expect(comments.map(({ outdated }: { outdated: boolean }) => outdated)).toEqual(
        comments.map(({ current }: { current: object | null }) => current === null),
      );
    },
    SLOW_TEST_TIMEOUT_MS,
  );
});
