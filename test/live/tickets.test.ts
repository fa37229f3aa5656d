import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { createVerifier } from "../../src/auth/verify.ts";
import { readConfig } from "../../src/config/config.ts";
import { rowsOf } from "../../src/db/client.ts";
import { eventTicket } from "../../src/db/safety-tables.ts";
import { createTicket, purgeExpiredTickets, redeemTicket } from "../../src/live/ticket-store.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { makeKey, startIssuer } from "../auth/issuer.ts";
import { userNamed } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { agentEvents, agentIn, bearer, serveLive } from "./fixture.ts";
import { openReader } from "./reader.ts";

const ALICE = bearer("alice");

describeEachDatabase("tickets for event streams", (database) => {
  const { running } = agentIn(database);
  type Server = Awaited<ReturnType<typeof serveLive>>;
  const ticketFrom = async ({ url }: Pick<Server, "url">, headers: Record<string, string> = ALICE) => {
    const reply = await fetch(`${url}/events/ticket`, { method: "POST", headers });
    expect([reply.status, reply.headers.get("cache-control")]).toEqual([200, "no-store"]);
    return (await reply.json()) as { ticket: string; expires_at: string };
  };
  const codeOf = async (url: string, init: RequestInit = {}) => {
    const reply = await fetch(url, init);
    return [reply.status, ((await reply.json()) as { code: string }).code];
  };

  test("a ticket opens one stream, of all sessions or of one, and resumes after `after`; used again it is refused", async () => {
    await using server = await serveLive(database());
    const { sessionId, append } = await running();
    await append(agentEvents(1, 3));
    for (const path of ["/events?", `/sessions/${sessionId}/events?after=2&`]) {
      const { ticket, expires_at } = await ticketFrom(server);
      expect(ticket).toMatch(/^[A-Za-z0-9_-]{43}$/);
      const left = Date.parse(expires_at) - Date.now();
      expect(left > 20_000 && left <= 31_000).toBe(true);
      const reader = await openReader(`${server.url}${path}ticket=${ticket}`, {
        headers: { origin: "https://ui.example.com" },
      });
      expect([reader.status, reader.headers.get("access-control-allow-origin")]).toEqual([
        200,
        "https://ui.example.com",
      ]);
      if (path.includes("after")) expect((await reader.next("message")).id).toBe("3");
      else await reader.next("ready");
      for (let n = 0; n < 2; n += 1)
        expect(await codeOf(`${server.url}${path}ticket=${ticket}`)).toEqual([401, "ticket_invalid"]);
      reader.leave();
    }
  });

  test("attack: of many simultaneous uses exactly one succeeds", async () => {
    const { orm } = database();
    await using server = await serveLive(database());
    // Closer together than requests come over HTTP.
    const { ticket } = await createTicket(orm, userNamed("alice"));
    const uses = await Promise.all(Array.from({ length: 12 }, () => redeemTicket(orm, ticket)));
    expect(uses.filter((user) => user !== undefined)).toHaveLength(1);
    for (let round = 0; round < 5; round += 1) {
      const { ticket } = await ticketFrom(server);
      const readers = await Promise.all(
        Array.from({ length: 12 }, () => openReader(`${server.url}/events?ticket=${ticket}`)),
      );
      expect(readers.map(({ status }) => status).sort()).toEqual([200, ...Array(11).fill(401)]);
      for (const reader of readers) reader.leave();
    }
  });

  test("attack: a ticket opens nothing else, and nothing of another user", async () => {
    await using server = await serveLive(database());
    const { sessionId } = await running();
    const { ticket } = await ticketFrom(server);
    for (const [method, path] of [
      ["GET", "/me"],
      ["GET", "/sessions"],
      ["GET", `/sessions/${sessionId}`],
      ["POST", "/events/ticket"],
      ["DELETE", `/sessions/${sessionId}`],
    ] as const)
      expect(await codeOf(`${server.url}${path}?ticket=${ticket}`, { method })).toEqual([
        401,
        "token_missing",
      ]);
    const reader = await openReader(`${server.url}/sessions/${sessionId}/events?ticket=${ticket}`);
    expect(reader.status).toBe(200);
    reader.leave();
    const bobs = (await ticketFrom(server, bearer("bob"))).ticket;
    const url = `${server.url}/sessions/${sessionId}/events?ticket=${bobs}`;
    expect(await codeOf(url)).toEqual([404, "session_not_found"]);
    expect(await codeOf(url)).toEqual([401, "ticket_invalid"]);
  });

  test("attack: a token in the URL opens nothing, whatever it is called", async () => {
    await using server = await serveLive(database());
    const { sessionId } = await running();
    const token = ALICE.authorization.slice("Bearer ".length);
    for (const path of ["/me", "/sessions", "/events", `/sessions/${sessionId}/events`])
      for (const name of ["ticket", "token", "access_token", "authorization", "bearer", "jwt", "auth"]) {
        const reply = await fetch(`${server.url}${path}?${name}=${token}`);
        expect([path, name, reply.status]).toEqual([path, name, 401]);
        await reply.body?.cancel();
      }
    expect(server.hub.open).toBe(0);
  });

  test("attack: beside a token or another ticket it is refused, and stays unused", async () => {
    await using server = await serveLive(database());
    const [one, two] = [await ticketFrom(server), await ticketFrom(server)];
    const url = `${server.url}/events?ticket=${one.ticket}`;
    expect(await codeOf(url, { headers: ALICE })).toEqual([401, "unauthorized"]);
    expect(await codeOf(url, { headers: bearer("bob") })).toEqual([401, "unauthorized"]);
    expect(await codeOf(`${url}&ticket=${two.ticket}`)).toEqual([401, "unauthorized"]);
    for (const { ticket } of [one, two]) {
      const reader = await openReader(`${server.url}/events?ticket=${ticket}`);
      expect(reader.status).toBe(200);
      reader.leave();
    }
  });

  test("one that is malformed, made up or expired is refused", async () => {
    await using server = await serveLive(database());
    const { ticket } = await ticketFrom(server);
    await database().orm.update(eventTicket).set({ expiresAt: sql`now()` });
    for (const wrong of [
      ticket,
      "",
      "x",
      "A".repeat(43),
      `${"A".repeat(42)}%0A`,
      "A".repeat(5_000),
      "null",
    ]) {
      const reply = await fetch(`${server.url}/events?ticket=${wrong}`);
      expect([reply.status, reply.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
      expect(await reply.json()).toMatchObject({ err: "unauthorized", code: "ticket_invalid" });
    }
  });

  test("neither a ticket nor its stream outlives the token", async () => {
    await using server = await serveLive(database());
    const token = bearer("alice", 700);
    const { ticket, expires_at } = await ticketFrom(server, token);
    expect(Date.parse(expires_at) - Date.now()).toBeLessThanOrEqual(700);
    const reader = await openReader(`${server.url}/events?ticket=${ticket}`);
    expect(JSON.parse((await reader.next("bye")).data)).toEqual({ reason: "token_expired" });
    const late = await createTicket(database().orm, { ...userNamed("alice"), expiresAt: Date.now() - 1 });
    expect(await codeOf(`${server.url}/events?ticket=${late.ticket}`)).toEqual([401, "ticket_invalid"]);
  });

  test("a withdrawn key ends its streams and tickets, on any node", async () => {
    const [first, second] = await Promise.all([makeKey("first", "ES256"), makeKey("second", "ES256")]);
    const issuer = await startIssuer(first, second);
    let now = Date.now();
    const serve = () =>
      serveLive(
        database(),
        { heartbeatMs: 30 },
        {
          verifier: createVerifier({ config: issuer.config, dataDir: "/nonexistent", now: () => now }),
        },
      );
    await using here = await serve();
    await using there = await serve();
    const headers = { authorization: `Bearer ${await issuer.token(first)}` };
    const [used, unused] = [await ticketFrom(here, headers), await ticketFrom(here, headers)];
    const reader = await openReader(`${there.url}/events?ticket=${used.ticket}`);
    await reader.next("ready");
    await issuer.publish(second);
    now += 60_000;
    expect(JSON.parse((await reader.next("bye")).data)).toEqual({ reason: "token_expired" });
    expect(await codeOf(`${there.url}/events?ticket=${unused.ticket}`)).toEqual([401, "ticket_invalid"]);
    issuer.stop();
  });

  test("unused tickets of a user are limited; expired ones make room, and are purged", async () => {
    const { orm } = database();
    const user = userNamed("collector");
    const count = async () =>
      (await orm.select().from(eventTicket).where(eq(eventTicket.userId, user.id))).length;
    for (let n = 0; n < 100; n += 1) await createTicket(orm, user);
    await expect(createTicket(orm, user)).rejects.toMatchObject({
      code: "stream_limit_reached",
      retryAfter: 30,
    });
    await createTicket(orm, userNamed("another"));
    await orm.update(eventTicket).set({ expiresAt: sql`now() - interval '1 second'` });
    const { ticket } = await createTicket(orm, user);
    expect(await count()).toBe(1);
    expect(await purgeExpiredTickets(orm)).toBeGreaterThan(0);
    expect(await redeemTicket(orm, ticket)).toEqual({
      id: "collector",
      roles: [],
      expiresAt: user.expiresAt,
    });
    expect((await orm.select().from(eventTicket)).length).toBe(0);
  });

  test("no ticket is in the log, the metrics or the database, whatever becomes of it", async () => {
    const lines: string[] = [];
    const metrics = createMetrics({ version: "0", deployment: () => Promise.reject(new Error("none")) });
    const refused: string[] = [];
    await using server = await serveLive(
      database(),
      {},
      {
        logger: createLogger({ level: "debug", write: (line) => void lines.push(line) }),
        metrics,
        onRefused: (...all) => void refused.push(all.join(" ")),
      },
    );
    const { ticket } = await ticketFrom(server);
    const url = `${server.url}/events?ticket=${ticket}`;
    const rows = await rowsOf<Record<string, unknown>>(database().orm, sql`select * from event_ticket`);
    expect(JSON.stringify(rows)).toContain("alice");
    const reader = await openReader(url);
    await reader.next("ready");
    reader.leave();
    const replies = [await fetch(url), await fetch(`${url}&after=%00`), await fetch(`${url}/nowhere`)];
    await database().orm.execute(sql`alter table event_ticket rename to event_ticket_away`);
    replies.push(await fetch(url));
    await database().orm.execute(sql`alter table event_ticket_away rename to event_ticket`);
    expect(replies.map(({ status }) => status)).toEqual([401, 422, 401, 500]);
    const all = [JSON.stringify(rows), ...lines, ...refused, await metrics.text()];
    for (const reply of replies) all.push(await reply.text(), JSON.stringify([...reply.headers]));
    expect(lines.length).toBeGreaterThan(0);
    expect(refused).toContain("ticket_invalid 127.0.0.1");
    expect(all.filter((text) => text.includes(ticket))).toEqual([]);
  });

  test("AUTH_MODE=none gives tickets, too, and ignores what comes with a stream", async () => {
    const env = { AUTH_MODE: "none", HOST: "127.0.0.1" };
    const verifier = createVerifier({ config: readConfig(env).auth, dataDir: "/nonexistent" });
    await using server = await serveLive(database(), {}, { env, verifier });
    const { ticket } = await ticketFrom(server, {});
    for (const one of [ticket, ticket, "x"]) {
      const reader = await openReader(`${server.url}/events?ticket=${one}`);
      expect(reader.status).toBe(200);
      await reader.next("ready");
      reader.leave();
    }
  });
});
