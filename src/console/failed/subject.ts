import type { DlqDto } from "../../../sdk/src/index.ts";

/** Of whose making it is: the service writes `entity_data`, but its type promises nothing. */
const textIn = (entry: DlqDto, name: string): string | undefined => {
  const data = entry.entity_data;
  const value =
    typeof data === "object" && data !== null ? (data as Record<string, unknown>)[name] : undefined;
  return typeof value === "string" ? value : undefined;
};

/** What an entry is about. */
export interface Subject {
  what: string;
  sessionId: string | undefined;
  /** Undefined where no run of a prompt has failed. */
  promptId: string | undefined;
  repo: string | undefined;
  branch: string | undefined;
}

export function subjectOf(entry: DlqDto): Subject {
  const isRun = entry.task_type === "prompt-run";
  return {
    what: isRun
      ? "Run of a prompt"
      : entry.task_type === "sandbox-return"
        ? "Return of a sandbox"
        : entry.task_type,
    sessionId: textIn(entry, "session_id") ?? (isRun ? undefined : entry.entity_id),
    promptId: isRun ? entry.entity_id : undefined,
    repo: textIn(entry, "repo"),
    branch: textIn(entry, "branch"),
  };
}

/** Of the kinds that become dead letters; others fail in their session, where the user decides. */
const KINDS: Readonly<Record<string, { label: string; advice: string }>> = {
  transient: {
    label: "Did not pass in time",
    advice:
      "Something that usually passes was tried for as long as the service is set to. Retry it once that works again.",
  },
  poison: {
    label: "Cut off each time",
    advice:
      "Each of its runs ended together with the process that ran it. Look into the service's log before a retry.",
  },
};

/** Why it failed, and what usually helps. */
export const kindOf = (entry: DlqDto) => KINDS[entry.kind] ?? { label: entry.kind, advice: "" };

/** Whether the entry's text contains what was searched for, in any case. */
export function matches(entry: DlqDto, q: string): boolean {
  const { what, repo, branch, sessionId } = subjectOf(entry);
  const texts = [
    what,
    entry.last_error,
    kindOf(entry).label,
    entry.id,
    entry.entity_id,
    repo,
    branch,
    sessionId,
  ];
  return texts.some((text) => text?.toLowerCase().includes(q.toLowerCase()));
}
