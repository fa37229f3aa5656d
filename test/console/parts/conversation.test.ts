import { describe, expect, test } from "bun:test";
import {
  ConnectionError,
  type MessageDto,
  type SessionEvent,
  type UserEvent,
} from "../../../sdk/src/index.ts";
import {
  Conversation,
  type ConversationSnapshot,
  type ConversationSource,
} from "../../../src/console/session/conversation.ts";

const SESSION = "11111111-1111-4111-8111-111111111111";
const AT = "2026-01-01T00:00:00.000Z";

const message = (seq: number, prompt = "p1"): MessageDto => ({
  id: `m${seq}`,
  prompt_id: prompt,
  seq,
  data: { type: "assistant", message: { role: "assistant", content: `said ${seq}` } },
  attempt: 1,
  superseded: false,
  created_at: AT,
  updated_at: AT,
});
const told = (seq: number, prompt?: string): UserEvent => ({
  event: "message",
  id: String(seq),
  data: { ...message(seq, prompt), session_id: SESSION },
});
const READY: UserEvent = { event: "ready", id: "x", data: { sessions: 1 } };

/** A service whose messages a test adds to; each reading waits until the test lets it go on. */
function service(stored: MessageDto[]) {
  const readings: string[] = [];
  let hold: Promise<void> | undefined;
  let failure: { error: unknown; behind: number; thrown(): void } | undefined;
  async function* read(found: MessageDto[]) {
    const failing = failure;
    await hold;
    // As the service's, an answer comes later.
    await new Promise((resolve) => setTimeout(resolve));
    yield* found.slice(0, failing?.behind);
    if (!failing) return;
    failing.thrown();
    throw failing.error;
  }
  const source: ConversationSource = {
    async *ofPrompt(promptId) {
      readings.push(promptId);
      yield* read(stored.filter((one) => one.prompt_id === promptId));
    },
    async *after(seq, signal) {
      readings.push(`after ${seq}`);
      for await (const one of read(stored.filter((one) => one.seq > seq)))
        yield {
          event: "message",
          id: String(one.seq),
          data: { ...one, session_id: SESSION },
        } as SessionEvent;
      yield { event: "session", data: { id: SESSION } } as SessionEvent;
      // As the service's, it stays open until its reader leaves.
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    },
  };
  return {
    source,
    stored,
    readings,
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      hold = promise;
      return () => {
        hold = undefined;
        resolve();
      };
    },
    /** Each reading fails behind so many messages, until the test ends that. @returns once one has. */
    fail(error: unknown, { behind = 0 } = {}) {
      const { promise, resolve } = Promise.withResolvers<void>();
      failure = { error, behind, thrown: resolve };
      return promise;
    },
    recover() {
      failure = undefined;
    },
  };
}

function open(source: ConversationSource, promptIds = ["p1"]) {
  const conversation = new Conversation(SESSION, source);
  const ended = new AbortController();
  conversation.start(promptIds, ended.signal);
  const seqs = () => [...conversation.getSnapshot().said.values()].flat().map((row) => row.seq);
  return {
    conversation,
    end: () => ended.abort(),
    seqs,
    shows: (...wanted: number[]) =>
      when(conversation, ({ loaded }) => loaded && JSON.stringify(seqs()) === JSON.stringify(wanted)),
  };
}

/** Resolves once what is shown is as wanted. */
function when(conversation: Conversation, isSo: (snapshot: ConversationSnapshot) => boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = () => {
    if (isSo(conversation.getSnapshot())) resolve();
  };
  const end = conversation.subscribe(look);
  look();
  return promise.finally(end);
}

describe("a conversation is joined from what was stored and what the stream tells", () => {
  test("what is told while the past is read comes behind it, once", async () => {
    const { source, stored, hold } = service([message(1), message(2)]);
    const release = hold();
    const { conversation, shows } = open(source);
    stored.push(message(3));
    conversation.apply(told(3));
    conversation.apply(told(2));
    conversation.apply(told(4));
    release();
    await shows(1, 2, 3, 4);
  });

  test("behind a gap, reading starts again after the last known message", async () => {
    const { source, stored, readings } = service([message(1)]);
    const { conversation, shows } = open(source);
    await shows(1);
    stored.push(message(2), message(3), message(4));
    conversation.apply(told(4));
    await shows(1, 2, 3, 4);
    expect(readings).toEqual(["p1", "after 1", "after 1"]);
  });

  test("a number that was deleted is looked for once", async () => {
    const { source, stored, readings } = service([message(1)]);
    const { conversation, shows } = open(source);
    await shows(1);
    stored.push(message(3));
    conversation.apply(told(3));
    await shows(1, 3);
    conversation.apply(told(4));
    await shows(1, 3, 4);
    expect(readings).toEqual(["p1", "after 1", "after 1"]);
  });

  test("a stream that was opened anew may have missed the end", async () => {
    const { source, stored } = service([message(1)]);
    const { conversation, shows } = open(source);
    await shows(1);
    stored.push(message(2));
    conversation.apply(READY);
    await shows(1, 2);
  });

  test("a stream that is opened anew while reading leads to another reading", async () => {
    const { source, stored, hold, readings } = service([message(1)]);
    const release = hold();
    const { conversation, shows } = open(source);
    conversation.apply(READY);
    stored.push(message(2));
    release();
    await shows(1, 2);
    expect(readings).toEqual(["p1", "after 1"]);
  });

  test("the newest prompt is read first, and each keeps its own order", async () => {
    const { source, readings } = service([message(1), message(2, "p2"), message(3), message(4, "p2")]);
    const { conversation, shows } = open(source, ["p1", "p2"]);
    await shows(2, 4, 1, 3);
    expect(readings).toEqual(["p2", "p1", "after 4"]);
    conversation.apply(told(5));
    await shows(2, 4, 1, 3, 5);
  });

  test("a prompt that was not listed yet is read, though nothing of it is told any more", async () => {
    const { source } = service([message(1), message(2, "p2"), message(3, "p2")]);
    const { shows } = open(source, ["p1"]);
    await shows(1, 2, 3);
  });

  test("a prompt that was not listed is read, though a listed one goes on behind it", async () => {
    const { source, readings } = service([message(1), message(2, "p2"), message(3)]);
    const { shows } = open(source, ["p1"]);
    await shows(1, 3, 2);
    expect(readings).toEqual(["p1", "after 1"]);
  });

  test("the newest prompt may begin after it was read", async () => {
    const { source, stored, hold } = service([message(1)]);
    const release = hold();
    const { shows } = open(source, ["p1", "p2"]);
    stored.push(message(2, "p2"), message(3));
    release();
    await shows(1, 3, 2);
  });

  test("numbers that were deleted at the beginning are not looked for", async () => {
    const { source, readings } = service([message(7), message(8)]);
    const { shows } = open(source);
    await shows(7, 8);
    expect(readings).toEqual(["p1", "after 8"]);
  });

  test("what was told and then deleted is not looked for again and again", async () => {
    const { source, stored, readings } = service([message(1)]);
    const { conversation, shows } = open(source);
    await shows(1);
    const before = conversation.getSnapshot();
    conversation.apply(told(3));
    await when(conversation, (snapshot) => snapshot !== before);
    stored.push(message(4));
    conversation.apply(told(4));
    await shows(1, 4);
    expect(readings.length).toBeLessThanOrEqual(4);
  });

  test("what is told in another order is shown in its own", async () => {
    const { source, stored, hold } = service([message(1)]);
    const release = hold();
    const { conversation, shows } = open(source);
    for (const seq of [4, 2, 3]) conversation.apply(told(seq));
    release();
    await shows(1, 2, 3, 4);
    stored.push(...[2, 3, 4, 5, 6, 7].map((seq) => message(seq)));
    for (const seq of [7, 5, 6, 7]) conversation.apply(told(seq));
    await shows(1, 2, 3, 4, 5, 6, 7);
  });

  test("a stream that is opened anew while what is missing is read leads to another reading", async () => {
    const { source, stored, hold, readings } = service([message(1)]);
    const { conversation, shows } = open(source);
    await shows(1);
    const release = hold();
    conversation.apply(READY);
    const before = readings.length;
    conversation.apply(READY);
    stored.push(message(2));
    release();
    await shows(1, 2);
    expect(readings.slice(before)).toEqual(["after 1"]);
  });

  test("a reading of the past that broke off is done again, and shows each message once", async () => {
    const { source, stored, fail, recover } = service([message(1), message(2), message(3, "p2")]);
    const failed = fail(new ConnectionError("away"), { behind: 1 });
    const { conversation, shows } = open(source, ["p1", "p2"]);
    await failed;
    stored.push(message(4, "p2"), message(5, "p2"));
    conversation.apply(told(5, "p2"));
    recover();
    await shows(3, 4, 5, 1, 2);
  });

  test("a reading of what is missing that broke off is done again behind what came", async () => {
    const { source, stored, fail, recover, readings } = service([message(1)]);
    const { conversation, shows } = open(source);
    await shows(1);
    stored.push(message(2), message(3), message(4));
    const failed = fail(new ConnectionError("away"), { behind: 1 });
    conversation.apply(told(4));
    await failed;
    recover();
    await shows(1, 2, 3, 4);
    expect(readings.slice(2)).toEqual(["after 1", "after 2"]);
  });

  test("after a refusal, reading starts again where it is asked to", async () => {
    const { source, stored, fail, recover } = service([message(1)]);
    const { conversation, shows } = open(source);
    await shows(1);
    stored.push(message(2), message(3));
    const refused = new Error("refused");
    void fail(refused);
    conversation.apply(told(3));
    await when(conversation, ({ failure }) => failure === refused);
    recover();
    conversation.start(["p1"], new AbortController().signal);
    await shows(1, 2, 3);
    expect(conversation.getSnapshot().failure).toBeUndefined();
  });

  test("messages of other sessions are theirs", async () => {
    const { source } = service([message(1)]);
    const { conversation, shows } = open(source);
    await shows(1);
    const other = told(2);
    if (other.event === "message") other.data.session_id = "other";
    conversation.apply(other);
    conversation.apply(told(2));
    await shows(1, 2);
  });

  test("while the service is away, nothing is said, and reading goes on once it is back", async () => {
    const { source, fail, recover, readings } = service([message(1)]);
    const failed = fail(new ConnectionError("away"));
    const { conversation, shows } = open(source);
    await failed;
    recover();
    await shows(1);
    expect(readings).toEqual(["p1", "p1", "after 1"]);
    expect(conversation.getSnapshot().failure).toBeUndefined();
  });

  test("another failure is shown", async () => {
    const { source, fail } = service([message(1)]);
    const refused = new Error("refused");
    void fail(refused);
    const { conversation } = open(source);
    await when(conversation, ({ failure }) => failure === refused);
    expect(conversation.getSnapshot().loaded).toBe(false);
  });

  test("nothing is read for a page that was left", async () => {
    const { source, readings } = service([message(1)]);
    const { conversation, shows, end } = open(source);
    await shows(1);
    end();
    conversation.apply(READY);
    expect(readings).toEqual(["p1", "after 1"]);
  });
});
