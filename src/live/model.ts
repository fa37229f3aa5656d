import { t } from "elysia";
import { Id } from "../api/schemas.ts";

const HOW = `Server-Sent Events. The token goes into the Authorization header, never into the address, where it would end up in logs;
a browser's EventSource cannot send headers, so read the reply of \`fetch\` (the SDK does).

- \`message\`: a MessageDto with \`session_id\`. Its \`id:\` is the place to resume from.
- \`session\`: a SessionDto as in the list, whenever it looks different. It has no id: on coming back the present one is sent.
  It follows all messages that were there before it.
- \`deleted\`: \`{id}\`, the session is gone.
- \`bye\`: \`{reason}\`, the stream ends: \`shutdown\` or \`error\` (come back after \`retry\` milliseconds), \`token_expired\` (come back with a new token).

Send the last id as \`Last-Event-ID\` (or \`?after=\`, which the header overrules): the messages after it follow with no gap, duplicate
or reorder, on any node. A message that is edited later is not sent again, one that is deleted before it was sent is not sent at all.
A comment comes after every 15 s of silence. A reader that takes nothing for 30 s is cut off and may resume.`;

const SESSION_EXAMPLE = `retry: 1000

id: 1
event: message
data: {"id":"019ab3c4-6a01-7c3e-8b1d-0a1b2c3d4e5f","prompt_id":"019ab3c4-5d6e-7f80-91a2-b3c4d5e6f709","seq":1,"data":{"type":"assistant", …},"session_id":"019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708", …}

event: session
data: {"id":"019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708","title":"Fix the login timeout","uiStatus":"InProgress", …}

: heartbeat

`;

/** By hand: what a route declares as its responses is JSON to Elysia. */
const repliesOf = (example: string, ...errors: number[]) => ({
  200: {
    description: "The stream, which stays open",
    content: { "text/event-stream": { schema: { type: "string" as const }, example } },
  },
  ...Object.fromEntries(errors.map((status) => [status, ERROR])),
});
const ERROR = {
  // The document's own words for this status.
  description: "",
  content: { "application/json": { schema: { $ref: "#/components/schemas/ErrorDto" } } },
};

/** A message's number; as many digits as a JavaScript number keeps. */
const NUMBER = "^[0-9]{1,15}$";

export const sessionEvents = {
  params: t.Object({ id: Id }),
  query: t.Object({
    after: t.Optional(
      t.String({
        pattern: NUMBER,
        description: "The `seq` of the last message that you have. Default: 0, from the first one.",
        examples: ["41"],
      }),
    ),
  }),
  headers: t.Object({
    "last-event-id": t.Optional(
      t.String({
        pattern: NUMBER,
        description: "The last `id:` that you have; overrules `after`",
        examples: ["41"],
      }),
    ),
  }),
  documented: {
    summary: "Follow a session live",
    description: `${HOW}\n\nIds are the messages' \`seq\`. The stream ends when the session is deleted.`,
    responses: repliesOf(SESSION_EXAMPLE, 401, 404, 422, 429, 500, 503),
  },
};

const EXAMPLE_ID = "1.mjwq3k5c.AZqzxF1uf4CRorPE1eb3CAE";
const CURSOR = {
  minLength: 1,
  // What a server takes as a header.
  maxLength: 12_000,
  pattern: "^[\\w.-]+$",
};

export const allEvents = {
  query: t.Object({
    after: t.Optional(
      t.String({
        ...CURSOR,
        description: "The last `id:` that this stream gave you. Default: from now on.",
        examples: [EXAMPLE_ID],
      }),
    ),
  }),
  headers: t.Object({
    "last-event-id": t.Optional(
      t.String({
        ...CURSOR,
        description: "The last `id:` that you have; overrules `after`",
        examples: [EXAMPLE_ID],
      }),
    ),
  }),
  documented: {
    summary: "Follow all my sessions live",
    description: `${HOW}

All sessions come first, one \`session\` event each, then \`ready\` (\`{sessions}\`, how many): of any other that you know you have
missed the \`deleted\`; its \`id:\` is the place where you stand now. Then the messages of all sessions, each session's in order, sessions among each other in any order. Without an
id they begin now. Ids are opaque: they name the place in every session that was active in the last minutes (some 25 characters
each), and a time before which all others are complete. The guarantee is that of a single session's stream as long as storing a batch
of messages takes the database less than a minute.`,
    responses: repliesOf(
      SESSION_EXAMPLE.replace("id: 1\n", `id: ${EXAMPLE_ID}\n`).replace(
        "\nid:",
        '\nid: 1.mjwq3k5c.\nevent: ready\ndata: {"sessions":1}\n\nid:',
      ),
      ...[401, 422, 429, 500, 503],
    ),
  },
};
