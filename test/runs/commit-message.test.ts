import { afterAll, beforeAll, expect, test } from "bun:test";
import { authorOf } from "../../src/auth/claims.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { commitMessage } from "../../src/runs/commit-message.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";

const SESSION = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";
const PROMPT = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f709";
const AGENT = { name: "claude", version: "2.1.330" };
const OURS = [`Session: ${SESSION}`, `Prompt: ${PROMPT}`, "Agent: claude/2.1.330"];

let repository: TestRepository;
beforeAll(async () => {
  repository = await makeRepository();
});
afterAll(() => repository.remove());

const messageOf = (
  data: unknown,
  more: Partial<ClaimedRun> = {},
  agent: typeof AGENT | { name: string } = AGENT,
) =>
  commitMessage(
    {
      sessionId: SESSION,
      promptId: PROMPT,
      authorName: null,
      authorEmail: null,
      data,
      ...more,
    } as ClaimedRun,
    agent,
  );

/** What git itself finds in a message, and what it makes of it as a commit. */
async function gitReads(
  message: string,
): Promise<{ trailers: string[]; subject: string; ofCommit: string[] }> {
  const file = `${repository.path}/message`;
  await Bun.write(file, message);
  const lines = (text: string) => text.split("\n").filter(Boolean);
  const trailers = lines(await repository.git("interpret-trailers", "--parse", file));
  await repository.git("commit", "--quiet", "--allow-empty", "--cleanup=verbatim", `--file=${file}`);
  const subject = (await repository.git("log", "-1", "--format=%s")).trimEnd();
  const ofCommit = lines(await repository.git("log", "-1", "--format=%(trailers:only,unfold)"));
  return { trailers, subject, ofCommit };
}

test.each([
  ["a plain one", "Fix the login timeout", "Fix the login timeout"],
  ["a first line alone", "Fix it\n\nSession: forged\nPrompt: forged", "Fix it"],
  ["what looks like a trailer", "Session: forged", "Session: forged"],
  ["git's end of a message", "---\nSession: forged", "Work of the agent"],
  ["git's end of a message, with text", "--- all of it", "all of it"],
  ["git's scissors", "# ------------------------ >8 ------------------------", ">8 ------------------------"],
  ["a heading", "## Fix it", "Fix it"],
  ["a carriage return", "Fix\rAgent: forged/1", "Fix Agent: forged/1"],
  ["other ends of lines", "Fix\u2028Agent: a\u2029Agent: b\u0085Agent: c", "Fix Agent: a Agent: b Agent: c"],
  ["control characters", "Fix \u001b[31m\u0007it", "Fix  [31m it"],
  ["a cut in the middle of a character", `${"x".repeat(71)}😀`, `${"x".repeat(71)}\ufffd`],
  ["nothing", " \n\t", "Work of the agent"],
  ["a list", [{ type: "text", content: "One" }, { content: "Two" }], "One"],
])("git finds the trailers below %s", async (_, data, subject) => {
  const read = await gitReads(messageOf(data));
  expect(read).toEqual({ subject, trailers: OURS, ofCommit: OURS });
});

test("whoever asked is a co-author, if the token names an e-mail", async () => {
  const named = { authorName: "Zoë Ω O'Hara", authorEmail: "zoë+agents@example.com" };
  const trailers = [...OURS, "Co-authored-by: Zoë Ω O'Hara <zoë+agents@example.com>"];
  expect(await gitReads(messageOf("Fix it", named))).toMatchObject({ trailers, ofCommit: trailers });
});

test("an agent that has not said its version is named without one", async () => {
  const { trailers } = await gitReads(messageOf("Fix it", {}, { name: "command" }));
  expect(trailers).toEqual([...OURS.slice(0, 2), "Agent: command"]);
});

// What is in the database is written by whoever can write there.
test("no value begins another trailer", async () => {
  const hostile = { authorName: "Eve\nSession: forged", authorEmail: "eve@example.com>\r\nPrompt: forged" };
  const { trailers } = await gitReads(messageOf("Fix it", hostile));
  expect(trailers.slice(0, 3)).toEqual(OURS);
  expect(trailers).toHaveLength(4);
});

test.each([
  [
    { name: "Alice Example", email: "alice@example.com" },
    { name: "Alice Example", email: "alice@example.com" },
  ],
  [{ email: "alice@example.com" }, { name: "alice", email: "alice@example.com" }],
  [
    { name: "Alice <admin@example.com>", email: "a@example.com" },
    { name: "a", email: "a@example.com" },
  ],
  [
    { name: "Alice\u202egro.elpmaxe", email: "a@example.com" },
    { name: "a", email: "a@example.com" },
  ],
  [{ name: "Alice" }, undefined],
  [{ name: "Alice", email: "alice" }, undefined],
  [{ name: "Alice", email: "alice@a@b" }, undefined],
  [{ name: "Alice", email: "alice@example.com> <bob@example.com" }, undefined],
  [{ name: "Alice", email: "alice@example.com\nSession: forged" }, undefined],
  [{ name: "Alice", email: "al ice@example.com" }, undefined],
  [{ name: "Alice", email: `${"a".repeat(250)}@example.com` }, undefined],
  [{ name: "Alice", email: "alice@example.com", emailUnconfirmed: true as const }, undefined],
])("the co-author by the claims %j", (claims, author) => {
  expect(authorOf({ ...claims, expiresAt: 0 })).toEqual(author);
});
