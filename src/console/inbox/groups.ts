import type { SessionDto } from "../../../sdk/src/index.ts";
import { waitText } from "../ui/waiting.ts";

/** What a session wants from its user; in the order of the inbox. */
const GROUPS = ["answer", "review", "failed", "running", "waiting", "done"] as const;
export type Group = (typeof GROUPS)[number];

/** `open`: everything but what is done. */
export type Show = Group | "open";
export const SHOWS: readonly Show[] = ["open", ...GROUPS];

export const GROUP_TITLES: Readonly<Record<Show, string>> = {
  open: "Open",
  answer: "Your answer",
  review: "Review",
  failed: "Failed",
  running: "Running",
  waiting: "Waiting",
  done: "Done",
};

export function groupOf(session: SessionDto): Group {
  if (session.sessionStatus === "Completed") return "done";
  if (waitsForUser(session)) return "answer";
  if (session.inboxStatus === "Pending" || session.waitingFor !== null) return "waiting";
  if (session.inboxStatus === "Processing") return "running";
  return session.sessionStatus === "Failed" || session.inboxStatus === "Failed" ? "failed" : "review";
}

/** Whether it goes on when its user does something: answers, or raises a budget that does not begin anew by itself. */
const waitsForUser = ({ waitingFor, nextAttemptAt, cancellationStatus }: SessionDto): boolean =>
  (waitingFor === "permission" && cancellationStatus !== "Requested") ||
  (waitingFor === "budget" && nextAttemptAt === null);

/** What a session's state is, in a few words. */
export function stateOf(session: SessionDto): string {
  if (session.cancellationStatus === "Requested") return "Cancelling";
  switch (groupOf(session)) {
    case "done":
      return "Done";
    case "failed":
      return "Failed";
    case "running":
      return "Running";
    case "answer":
    case "waiting":
      return session.waitingFor === null ? "Queued" : `Waiting for ${waitText(session.waitingFor)}`;
    default:
      return session.inboxStatus === "Cancelled" ? "Cancelled" : "Ready for review";
  }
}

export type Tone = "good" | "warn" | "bad" | "info";
export const TONES: Readonly<Record<Group, Tone | undefined>> = {
  answer: "warn",
  review: "good",
  failed: "bad",
  running: "info",
  waiting: "warn",
  done: undefined,
};

/** A line of the list: the heading of a group, or a session. */
export type Line = { group: Group; count: number } | { session: SessionDto };

/** The session whose turn it is when another one goes away: the next one, or else the one before. */
export function neighbourOf(lines: readonly Line[], id: string): string | undefined {
  const ids = lines.flatMap((line) => ("session" in line ? [line.session.id] : []));
  const index = ids.indexOf(id);
  return ids[index + 1] ?? ids[index - 1];
}

export interface Inbox {
  lines: readonly Line[];
  counts: Readonly<Record<Show, number>>;
}

/** A session's text to search, made once for each state of it. */
const texts = new WeakMap<SessionDto, string>();
function textOf(session: SessionDto): string {
  let text = texts.get(session);
  if (text === undefined) {
    text = `${session.title}\n${session.repo}\n${session.branch}\n${session.targetBranch}`.toLowerCase();
    texts.set(session, text);
  }
  return text;
}

/**
 * The lines of the list and the number of sessions in each group.
 * @param q words that a session's title, repository or branches all contain.
 */
export function inboxOf(sessions: Iterable<SessionDto>, show: Show, q: string): Inbox {
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const groups: Record<Group, SessionDto[]> = {
    answer: [],
    review: [],
    failed: [],
    running: [],
    waiting: [],
    done: [],
  };
  for (const session of sessions)
    if (words.every((word) => textOf(session).includes(word))) groups[groupOf(session)].push(session);
  const counts = { open: 0 } as Record<Show, number>;
  for (const group of GROUPS) {
    counts[group] = groups[group].length;
    if (group !== "done") counts.open += counts[group];
  }
  const shown = show === "open" ? GROUPS.filter((group) => group !== "done") : [show];
  const lines = shown.flatMap((group): Line[] => {
    const members = groups[group].sort(newestFirst);
    if (members.length === 0) return [];
    const items = members.map((session) => ({ session }));
    return shown.length > 1 ? [{ group, count: members.length }, ...items] : items;
  });
  return { lines, counts };
}

const newestFirst = (a: SessionDto, b: SessionDto): number =>
  a.updatedAt === b.updatedAt ? (a.id < b.id ? 1 : -1) : a.updatedAt < b.updatedAt ? 1 : -1;
