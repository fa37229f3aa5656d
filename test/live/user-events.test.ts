import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { message, session } from "../../src/db/tables.ts";
import { readCursor, writeCursor } from "../../src/live/cursor.ts";
import { userFeed } from "../../src/live/user-feed.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession, writerOf } from "../harness/seed.ts";
import { bearer, claim, serveLive, tableOf } from "./fixture.ts";
import { seeded } from "./random.ts";
import { openReader, parse, type ServerEvent } from "./reader.ts";

describeEachDatabase("the live stream of all of a user's sessions", (database) => {
  let users = 0;
  const newUser = () => `user ${++users}`;
  const running = async (userId: string) => {
    const { sessionId, promptIds } = await seedSession(database(), 1);
    await database().orm.update(session).set({ userId }).where(eq(session.id, sessionId));
    const run = await claim(database(), promptIds[0] ?? "");
    return { sessionId, say: (...words: string[]) => writerOf(database().orm, run).append(words) };
  };
  const seqOf = ({ data }: ServerEvent) => {
    const { session_id, seq } = JSON.parse(data);
    return [session_id, seq];
  };
  /** All that a feed has to say now. */
  const drain = async (feed: ReturnType<typeof userFeed>) => {
    let text = "";
    for (let piece = await feed.read(); piece.text !== ""; piece = await feed.read()) text += piece.text;
    return text.split("\n\n").slice(0, -1).map(parse);
  };

  test("all sessions, ready, then messages, new sessions and deletions; nothing of other users", async () => {
    await using server = await serveLive(database());
    const me = newUser();
    const [one, two] = [await running(me), await running(me)];
    const foreign = await running(newUser());
    await one.say("before");
    const reader = await openReader(`${server.url}/events`, { headers: bearer(me) });
    const shown = [await reader.next("session"), await reader.next("session")];
    expect(shown.map(({ data }) => JSON.parse(data).id)).toEqual([one.sessionId, two.sessionId]);
    const ready = await reader.next("ready");
    expect(JSON.parse(ready.data)).toEqual({ sessions: 2 });
    await foreign.say("not for you");
    await two.say("now");
    // Who leaves now and comes back has not had the message of before either, and does not get it.
    const back = await openReader(`${server.url}/events?after=${ready.id}`, { headers: bearer(me) });
    expect(seqOf(await back.next("message"))).toEqual([two.sessionId, 1]);
    back.leave();
    expect(seqOf(await reader.next("message"))).toEqual([two.sessionId, 1]);
    const three = await running(me);
    expect(JSON.parse((await reader.next("session")).data).id).toBe(three.sessionId);
    await three.say("first");
    expect(seqOf(await reader.next("message"))).toEqual([three.sessionId, 1]);
    await one.say("after");
    expect(seqOf(await reader.next("message"))).toEqual([one.sessionId, 2]);
    await database().orm.update(session).set({ deletedAt: new Date() }).where(eq(session.id, two.sessionId));
    expect(JSON.parse((await reader.next("deleted")).data)).toEqual({ id: two.sessionId });
  });

  test("a user id with spaces is woken, and one with the same prefix is not", async () => {
    await using server = await serveLive(database(), { heartbeatMs: 3_600_000 });
    const { say } = await running("a b c");
    const reader = await openReader(`${server.url}/events`, { headers: bearer("a b c") });
    await reader.next("ready");
    await say("hello");
    expect((await reader.next("message")).data).toContain("hello");
  });

  test("a stream that is resumed again and again yields exactly the stored messages of each session", async () => {
    await using server = await serveLive(database());
    const me = newUser();
    const random = seeded(7);
    const sessions = [await running(me), await running(me), await running(me)];
    // From before the first message: as long as nothing came, there is no id to resume from.
    const begun = await openReader(`${server.url}/events`, { headers: bearer(me) });
    await begun.next("ready");
    let reader: typeof begun | undefined = begun;
    const talking = (async () => {
      for (let n = 0; n < 150; n += 1)
        await sessions[random(3)]?.say(...Array.from({ length: 1 + random(3) }, (_, m) => `${n}.${m}`));
      await sessions[0]?.say("the end");
    })();
    const logs = new Map<string, string[]>(sessions.map(({ sessionId }) => [sessionId, []]));
    let id: string | undefined;
    let returns = 0;
    for (let ended = false; !ended; ) {
      reader ??= await openReader(`${server.url}/events?after=${id}`, { headers: bearer(me) });
      for (let left = 1 + random(30); left > 0 && !ended; left -= 1) {
        const event = await reader.next("message");
        logs.get(JSON.parse(event.data).session_id)?.push(event.data);
        id = event.id;
        ended = event.data.includes("the end");
      }
      reader.leave();
      reader = undefined;
      returns += 1;
    }
    await talking;
    // The end of one session is not the others' end.
    const rest = userFeed({ orm: database().orm, userId: me, cursor: readCursor(String(id)) });
    for (const event of await drain(rest))
      if (event.event === "message") logs.get(JSON.parse(event.data).session_id)?.push(event.data);
    for (const { sessionId } of sessions)
      expect(logs.get(sessionId)).toEqual(await tableOf(database(), sessionId));
    expect(returns).toBeGreaterThan(5);
  });

  test("ids stay short: a session that was idle for long has no position of its own, and is resumed all the same", async () => {
    const me = newUser();
    const { orm } = database();
    const [quiet, busy, later] = [await running(me), await running(me), await running(me)];
    await quiet.say("1", "2", "3");
    await later.say("1", "2");
    const long = sql`now() - interval '1 hour'`;
    for (const { sessionId } of [quiet, later])
      await orm.update(message).set({ createdAt: long }).where(eq(message.sessionId, sessionId));
    const options = { orm, userId: me };
    const feed = userFeed({ ...options, cursor: undefined });
    await drain(feed);
    await busy.say("1");
    feed.wake();
    const [event] = (await drain(feed)).filter(({ event }) => event === "message");
    const cursor = readCursor(String(event?.id));
    expect([...cursor.positions]).toEqual([[busy.sessionId, 1]]);
    // Whoever comes back with it misses neither the session that spoke up, nor gets what it said before.
    await later.say("3");
    await quiet.say("4");
    const back = (await drain(userFeed({ ...options, cursor })))
      .filter(({ event }) => event === "message")
      .map(seqOf);
    expect(new Map(back as [string, number][])).toEqual(
      new Map([
        [later.sessionId, 3],
        [quiet.sessionId, 4],
      ]),
    );
    expect(back).toHaveLength(2);
  });

  test("a position is dropped once its session has been idle for long", async () => {
    const me = newUser();
    const [one, two] = [await running(me), await running(me)];
    const feed = userFeed({ orm: database().orm, userId: me, cursor: undefined, commitWindowMs: 50 });
    const positionsAfter = async () => {
      feed.wake();
      const last = (await drain(feed)).filter(({ event }) => event === "message").at(-1);
      return [...readCursor(String(last?.id)).positions.keys()];
    };
    await drain(feed);
    await one.say("1");
    await two.say("1");
    expect((await positionsAfter()).sort()).toEqual([one.sessionId, two.sessionId].sort());
    await database().orm.execute(sql`select pg_sleep(0.2)`);
    feed.wake();
    await drain(feed);
    await two.say("2");
    expect(await positionsAfter()).toEqual([two.sessionId]);
  });

  test("an id that is not of this stream is refused", async () => {
    await using server = await serveLive(database());
    const good = writeCursor({ since: Date.now(), positions: new Map([[Bun.randomUUIDv7(), 3]]) });
    const open = async (path: string, headers = {}) => {
      const reader = await openReader(`${server.url}/events${path}`, {
        headers: { ...bearer("alice"), ...headers },
      });
      reader.leave();
      return reader.status;
    };
    expect(await open(`?after=${good}`)).toBe(200);
    for (const bad of [
      "x",
      "1",
      `${good}AA`,
      `${good.slice(0, -4)}`,
      `2${good.slice(1)}`,
      "1.zzzzzzzzzz.",
      "",
    ])
      expect([bad, await open(`?after=${bad}`)]).toEqual([bad, 422]);
    expect(await open("", { "last-event-id": "17" })).toBe(422);
    expect((await fetch(`${server.url}/events`)).status).toBe(401);
  });
});

test("a cursor is read as it was written", () => {
  const random = seeded(1);
  for (let round = 0; round < 200; round += 1) {
    const positions = new Map(
      Array.from({ length: random(5) }, () => [Bun.randomUUIDv7(), 2 ** random(53)] as const),
    );
    const since = random(2 ** 31) * 500;
    expect(readCursor(writeCursor({ since, positions }))).toEqual({ since, positions });
  }
});
