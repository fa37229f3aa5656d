import { type TSchema, t } from "elysia";
import { documentedErrors, enumOf, Id, idParams } from "../api/schemas.ts";
import { MessageDto } from "../messages/model.ts";
import { SessionDto } from "../sessions/model.ts";
import { END_REASONS } from "./sse-frames.ts";

/** An event by its name, as it is after parsing. @param data the JSON of its `data:`. @param id an example of its `id:`. */
const event = <Name extends string, Data extends TSchema>(
  name: Name,
  { description, data, id }: { description: string; data: Data; id?: string },
) =>
  t.Object(
    {
      event: t.Literal(name),
      ...(id !== undefined && {
        id: t.String({ description: "The position to resume from", examples: [id] }),
      }),
      data,
    },
    { description },
  );

const MessageEventData = t.Composite([MessageDto, t.Object({ session_id: Id })], {
  description: "A MessageDto and its session",
});
const events = {
  StreamMessageEvent: event("message", {
    description: "A message was stored",
    data: MessageEventData,
    id: "41",
  }),
  StreamSessionEvent: event("session", {
    description: "A session was created or has changed: its state, as in the list",
    data: SessionDto,
  }),
  StreamDeletedEvent: event("deleted", {
    description: "A session was deleted",
    data: t.Object({ id: Id }),
  }),
  StreamByeEvent: event("bye", {
    description: "The stream ends",
    data: t.Object({
      reason: enumOf(END_REASONS, {
        description:
          "token_expired: reconnect with a new token; otherwise as before, after `retry` milliseconds",
      }),
    }),
  }),
  StreamReadyEvent: event("ready", {
    description: "The current state of every session was sent",
    data: t.Object({ sessions: t.Integer({ description: "Their number", examples: [2] }) }),
    id: "1.mjwq3k5c.",
  }),
};
const { StreamReadyEvent, ...sessionStreamEvents } = events;
const ofOneSession = Object.values(sessionStreamEvents);

/** The events of streams, which no response of JSON refers to. */
export const liveModels = {
  MessageEventData,
  ...events,
  SessionStreamEvent: t.Union(ofOneSession, { description: "An event of one session's stream" }),
  UserStreamEvent: t.Union([...ofOneSession, StreamReadyEvent], {
    description: "An event of the stream of all sessions",
  }),
};

const PROTOCOL = `Server-Sent Events. Send the token in the Authorization header, never in the URL, which ends up in logs. A browser's
EventSource cannot send headers: read the response of \`fetch\` instead, as the SDK does, or send a ticket of POST /events/ticket as
\`?ticket=\`. The first request with a ticket uses it up, whatever the reply, so that an EventSource is refused when it reconnects by
itself, and closes: then open another, with a new ticket and the last id as \`?after=\`.

- \`message\`: a MessageDto with \`session_id\`. Its \`id:\` is the position to resume from.
- \`session\`: a SessionDto as in the list, sent whenever it changes and after all messages that existed before the change. It has no id:
  after a reconnect the current state is sent.
- \`deleted\`: \`{id}\`, the session was deleted.
- \`bye\`: \`{reason}\`, the stream ends: \`shutdown\` or \`error\` (reconnect after \`retry\` milliseconds), or \`token_expired\` (reconnect with a
  new token; also sent when the key that signed the token was withdrawn).

To resume, send the last id as \`Last-Event-ID\` (or \`?after=\`; the header takes precedence): the messages after it follow without gaps,
duplicates or reordering, on any node. A message that is edited later is not sent again; one that is deleted before it was sent is never
sent. Nor is a message sent again when its prompt starts over: the first message with a higher \`attempt\` supersedes those of the
prompt before it. After 15 s without an event a comment is sent. A reader that takes nothing for 30 s is disconnected, and may resume.`;

const SESSION_EXAMPLE = `retry: 1000

id: 1
event: message
data: {"id":"019ab3c4-6a01-7c3e-8b1d-0a1b2c3d4e5f","prompt_id":"019ab3c4-5d6e-7f80-91a2-b3c4d5e6f709","seq":1,"data":{"type":"assistant", …},"session_id":"019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708", …}

event: session
data: {"id":"019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708","title":"Fix the login timeout","uiStatus":"InProgress", …}

: heartbeat

`;

/** OpenAPI responses written by hand: Elysia documents every response that a route declares as JSON. */
const responsesOf = (event: keyof typeof liveModels, example: string, ...errors: number[]) => ({
  200: {
    description: `The stream, which stays open: each event is a ${event}`,
    content: { "text/event-stream": { schema: streamOf(event), example } },
  },
  ...documentedErrors(...errors),
});
/** Text, whose parts have a schema: OpenAPI 3.1 has no other way to say what is in a stream. */
const streamOf = (event: keyof typeof liveModels) => ({
  type: "string" as const,
  contentMediaType: "text/event-stream",
  contentSchema: { $ref: `#/components/schemas/${event}` },
});

/** A message's `seq`; a JavaScript number holds 15 digits exactly. */
const SEQ = "^[0-9]{1,15}$";

export const EXAMPLE_TICKET = "kq3Zc1Yt0mU8vX5sH2nQ7wE9rL4pB6dJfGaKiOxTzVM";

const ticket = t.Optional(
  t.String({
    description: "In place of the Authorization header: a ticket of POST /events/ticket",
    examples: [EXAMPLE_TICKET],
  }),
);

export const sessionEvents = {
  params: idParams,
  query: t.Object({
    after: t.Optional(
      t.String({
        pattern: SEQ,
        description: "The `seq` of the last message received. Default: 0, from the first message",
        examples: ["41"],
      }),
    ),
    ticket,
  }),
  headers: t.Object({
    "last-event-id": t.Optional(
      t.String({
        pattern: SEQ,
        description: "The last `id:` received; takes precedence over `after`",
        examples: ["41"],
      }),
    ),
  }),
  description: `${PROTOCOL}\n\nIds are the messages' \`seq\`. The stream ends when the session is deleted.`,
  responses: responsesOf("SessionStreamEvent", SESSION_EXAMPLE, 401, 404, 422, 429, 500, 503),
};

const EXAMPLE_ID = "1.mjwq3k5c.AZqzxF1uf4CRorPE1eb3CAE";
const CURSOR = {
  minLength: 1,
  // Servers accept headers of this size.
  maxLength: 12_000,
  pattern: "^[\\w.-]+$",
};

export const userEvents = {
  query: t.Object({
    after: t.Optional(
      t.String({
        ...CURSOR,
        description: "The last `id:` received from this stream. Default: from now on",
        examples: [EXAMPLE_ID],
      }),
    ),
    ticket,
  }),
  headers: t.Object({
    "last-event-id": t.Optional(
      t.String({
        ...CURSOR,
        description: "The last `id:` received; takes precedence over `after`",
        examples: [EXAMPLE_ID],
      }),
    ),
  }),
  description: `${PROTOCOL}

The current state of every session comes first, one \`session\` event each, then \`ready\` (\`{sessions}\`, their number): any other session
that you know of was deleted while you were disconnected. The \`id:\` of \`ready\` is a position to resume from, too. Then the messages
of all sessions follow, in order within each session, without an order between sessions. Without an id the stream starts now.

Ids are opaque: they hold a position in every session that was active in the last minutes (about 25 characters each), and a time before
which all other sessions are complete. The guarantees of a single session's stream hold as long as the database stores a batch of
messages in less than a minute.`,
  responses: responsesOf(
    "UserStreamEvent",
    SESSION_EXAMPLE.replace("id: 1\n", `id: ${EXAMPLE_ID}\n`).replace(
      "\nid:",
      '\nid: 1.mjwq3k5c.\nevent: ready\ndata: {"sessions":1}\n\nid:',
    ),
    ...[401, 422, 429, 500, 503],
  ),
};
