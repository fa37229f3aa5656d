import { expect, test } from "bun:test";
import { describeEachDatabase } from "../harness/databases.ts";
import { BASE, commenting, HEAD, LATER, type Repository } from "./fixture.ts";

const insertion = { old_start: 0, old_lines: 0, new_start: 1, new_lines: 2 };
const file = (more: object) => ({
  ...{ path: "a.ts", old_path: null, status: "modified", binary: false, too_large: false },
  hunks: [insertion],
  ...more,
});
const LINES = "one\ntwo\nthree\n";

describeEachDatabase("the present place of a comment", (database) => {
  let repository: Repository;
  const { createSession, comment, list } = commenting(database, () => repository);
  /** A session with comments of HEAD. Afterwards its branch is at LATER. */
  const commented = async (
    changes: { files: object[]; truncated?: boolean },
    comments: object[] = [{ line: 2 }],
  ) => {
    repository = { head: HEAD, files: { [HEAD]: { "a.ts": LINES }, [LATER]: {}, [BASE]: { "a.ts": LINES } } };
    const session = await createSession();
    for (const one of comments) await comment(session, one);
    repository.head = LATER;
    repository.diffs = { [`${HEAD} ${LATER}`]: changes };
    const places = async () =>
      (await list(session)).comments.map(({ outdated, current }: { outdated: boolean; current: object }) => ({
        outdated,
        current,
      }));
    return { session, places };
  };
  const at = (line: number | null, path = "a.ts", endLine = line) => ({
    outdated: false,
    current: { path, line, end_line: endLine },
  });
  const OUTDATED = { outdated: true, current: null };
  const UNKNOWN = { outdated: false, current: null };

  test("moves with its lines, into a renamed file, and is none once they were changed", async () => {
    const moved = await commented({ files: [file({})] }, [
      { line: 2 },
      { line: 2, end_line: 3 },
      { line: undefined },
    ]);
    expect(await moved.places()).toEqual([at(4), at(4, "a.ts", 5), at(null)]);
    const renamed = await commented({ files: [file({ path: "b.ts", old_path: "a.ts", status: "renamed" })] });
    expect(await renamed.places()).toEqual([at(4, "b.ts")]);
    const hunks = [{ old_start: 2, old_lines: 1, new_start: 2, new_lines: 1 }];
    const changed = await commented({ files: [file({ hunks })] }, [
      { line: 1 },
      { line: 2 },
      { line: undefined },
    ]);
    expect(await changed.places()).toEqual([at(1), OUTDATED, at(null)]);
    const gone = await commented({ files: [file({ status: "deleted" })] }, [
      { line: 2 },
      { line: undefined },
    ]);
    expect(await gone.places()).toEqual([OUTDATED, OUTDATED]);
  });

  test("of the old side is in what the work began from", async () => {
    const { places } = await commented({ files: [file({})] }, [
      { side: "old", commit: BASE },
      { side: "old", commit: HEAD, line: 1 },
    ]);
    repository.diffs = { [`${HEAD} ${BASE}`]: { files: [file({})] } };
    expect(await places()).toEqual([at(1), at(3)]);
  });

  test("in a file that is too large for the whole diff is in the diff of that file", async () => {
    const large = file({ path: "b.ts", old_path: "a.ts", too_large: true, hunks: [] });
    const { places } = await commented({ files: [large], truncated: true }, [
      { line: 2 },
      { line: undefined },
    ]);
    expect(await places()).toEqual([UNKNOWN, at(null, "b.ts")]);
    const alone = file({ path: "b.ts", old_path: "a.ts" });
    repository.diffs = { ...repository.diffs, [`${HEAD} ${LATER} b.ts`]: { files: [alone] } };
    expect(await places()).toEqual([at(4, "b.ts"), at(null, "b.ts")]);
  });

  test("in a file that a cut diff does not name is told by the file itself", async () => {
    const { places } = await commented({ files: [], truncated: true });
    expect(await places()).toEqual([UNKNOWN]);
    repository.files[LATER] = { "a.ts": LINES };
    expect(await places()).toEqual([at(2)]);
    repository.files[LATER] = { "a.ts": "else\n" };
    expect(await places()).toEqual([UNKNOWN]);
  });
});
