import { clipped, harmless, quoted, withoutCommands } from "./harmless.ts";
import type { PullRequestSession } from "./store.ts";

export const MAX_TITLE = 200;
export const MAX_BODY = 60_000;
const MAX_ASKED = 4_000;
const MAX_DONE = 20_000;

/** The title and the text of a session's pull request: what was asked, what was done, how to check it. */
export function pullRequestText(
  session: PullRequestSession,
  wanted: { title?: string | undefined; body?: string | undefined; base: string },
  publicUrl: string | undefined,
): { title: string; body: string } {
  // What a user writes may mention people and close issues. Commands would run with the rights of the service.
  const title = withoutCommands(wanted.title ?? harmless(session.title))
    .replace(/\s+/g, " ")
    .trim();
  const body =
    wanted.body === undefined ? describe(session, wanted.base, publicUrl) : withoutCommands(wanted.body);
  return { title: clipped(title || session.branch, MAX_TITLE), body: clipped(body, MAX_BODY) };
}

function describe(session: PullRequestSession, base: string, publicUrl: string | undefined): string {
  const { asked, done, branch } = session;
  const block = (heading: string, text: string, max: number) =>
    text.trim() === "" ? [] : [`### ${heading}`, quoted(harmless(clipped(text.trim(), max)))];
  return [
    ...block("What was asked", asked, MAX_ASKED),
    ...block("What was done", done, MAX_DONE),
    ...check(base, branch),
    ...(publicUrl === undefined ? [] : [`[The session](${publicUrl}/sessions/${session.id})`]),
  ].join("\n\n");
}

/** Commands to be pasted: no others than what they seem. */
function check(base: string, branch: string): string[] {
  if (![base, branch].every((name) => /^[\w][\w./-]*$/.test(name))) return [];
  const commands = [`git fetch origin ${base} ${branch}`, `git diff origin/${base}...origin/${branch}`];
  return ["### How to check it", ["```sh", ...commands, "```"].join("\n")];
}
