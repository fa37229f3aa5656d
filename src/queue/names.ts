/** The queues, which are also the topics of the outbox. Payloads have only ids, because queues store them in plain text. */
export const QUEUES = {
  /** Runs a prompt. */
  promptRun: "prompt-run",
  /** Generates the title of a session. */
  sessionTitle: "session-title",
} as const;

export type QueueName = (typeof QUEUES)[keyof typeof QUEUES];

export interface Payloads {
  "prompt-run": { prompt_id: string };
  "session-title": { session_id: string };
}

/** NOTIFY channels. */
export const CHANNELS = {
  /** A session or its messages changed. A trigger sends `<session id> <message_seq> <user id>`. */
  session: "session_changed",
  /** A running prompt was cancelled; the payload is its id. */
  cancel: "prompt_cancel",
  /** There is something for the agent of a running prompt; the payload is the prompt's id. */
  mail: "prompt_mail",
  /** The outbox has rows to publish. */
  outbox: "outbox",
  /** A prompt may start whose session is warm on a machine. The payload is `<host> <session id>`. */
  warmHost: "warm_host",
  /** An effect is to be performed. */
  effect: "effect",
  /** A sandbox may be returned. */
  sandboxDone: "sandbox_done",
} as const;
