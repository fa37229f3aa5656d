/** Queues, which are also the outbox's topics, and what a job of each carries: ids only, a queue's data is clear text. */
export const QUEUES = {
  /** Run a prompt. */
  promptRun: "prompt-run",
  /** Write a better title for a session. */
  sessionTitle: "session-title",
} as const;

export type QueueName = (typeof QUEUES)[keyof typeof QUEUES];

export interface Payloads {
  "prompt-run": { prompt_id: string };
  "session-title": { session_id: string };
}

/** NOTIFY channels. */
export const CHANNELS = {
  /** A session was made or changed, its messages included; a trigger says so: `<session id> <message_seq> <user id>`. */
  session: "session_changed",
  /** A running prompt is to be cancelled; the payload is its id. */
  cancel: "prompt_cancel",
  /** The outbox has something to publish. */
  outbox: "outbox",
  /** A sandbox is no longer needed. */
  sandboxDone: "sandbox_done",
} as const;
