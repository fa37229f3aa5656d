import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rename, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openMailbox } from "../../src/driver/mailbox.ts";

const folder = await mkdtemp(join(tmpdir(), "pb-mailbox-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Cause: a name was looked at once, so that an answer that could not be opened at that moment was lost for ever. */
test("what cannot be read yet is handed over once it can be, and once", async () => {
  const answers: string[] = [];
  const file = join(folder, "answer-1.json");
  await symlink("nowhere", file);
  using mailbox = openMailbox(folder, {
    answer: (id, { decision }) => answers.push(`${id} ${decision}`),
    steer: () => undefined,
  });
  expect(answers).toEqual([]);
  await Bun.write(
    join(folder, ".draft"),
    JSON.stringify({ kind: "answer", request_id: "1", decision: "allow" }),
  );
  await rename(join(folder, ".draft"), file);
  mailbox.check();
  mailbox.check();
  expect(answers).toEqual(["1 allow"]);
});
