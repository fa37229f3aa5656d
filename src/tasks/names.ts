/** The names of all tasks on the command line, in the order of their start; they stop in reverse order. */
export const TASK_NAMES = [
  "ip-return-poller",
  "prompt-runner",
  "title-generator",
  "effect-runner",
  "outbox-publisher",
  "session-poller",
  "cancellation-enforcer",
  "retention",
] as const;

export type TaskName = (typeof TASK_NAMES)[number];
