/** Queues, which are also the outbox's topics, and the payload of each one's jobs: ids only, as a queue holds clear text. */
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
  /** A session or its messages changed. Sent by a trigger: `<session id> <message_seq> <user id>`. */
  session: "session_changed",
  /** A running prompt was cancelled; the payload is its id. */
  cancel: "prompt_cancel",
  /** The outbox has something to publish. */
  outbox: "outbox",
  /** A sandbox may be returned. */
  sandboxDone: "sandbox_done",
} as const;
