import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import fc from "fast-check";
import { deadLetter, message, session } from "../../src/db/tables.ts";
import { openHub } from "../../src/live/hub.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openApiText } from "../../src/server/docs.ts";
import { makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession } from "../harness/seed.ts";
import { readDocument } from "./document.ts";
import { type FuzzRequest, requestsFor } from "./requests.ts";

/** In all, over both databases. FUZZ_REQUESTS for more, FUZZ_SEED to repeat a run. */
const REQUESTS = Number(process.env["FUZZ_REQUESTS"] ?? 20_000);
const AT_ONCE = 20;
const SEED = Number(process.env["FUZZ_SEED"] ?? Date.now() % 2 ** 31);
/** Any operation may answer these, documented or not. */
const ALWAYS = ["400", "404", "405", "413", "422"];

describeEachDatabase("any request", (database) => {
  test(`is never answered with 5xx, and every reply is as documented (seed ${SEED})`, async () => {
    const { orm } = database();
    const hub = await openHub({
      database: database(),
      logger: createLogger({ level: "silent" }),
      perUser: 1_000_000,
    });
    const app = makeApp({
      database: database(),
      hub,
      // A 5xx says why here.
      logger: createLogger({ level: "error" }),
      env: {
        RATE_LIMIT_PER_MINUTE: "0",
        RATE_LIMIT_ADDRESS_PER_MINUTE: "0",
        MAX_UNFINISHED_PROMPTS: "1000000",
        AUTH_MODE: "local",
      },
    });
    const document = readDocument(await openApiText(app));
    const ids: string[] = [];
    for (let n = 0; n < 6; n += 1) {
      const { sessionId, promptIds } = await seedSession(database(), 2);
      if (n > 3) await orm.update(session).set({ userId: "bob" });
      const id = Bun.randomUUIDv7();
      await orm.update(session).set({ messageSeq: 1 }).where(eq(session.id, sessionId));
      await orm
        .insert(message)
        .values({ id, promptId: String(promptIds[0]), sessionId, seq: 1, data: { n } });
      const letter = Bun.randomUUIDv7();
      const dead = {
        taskType: "prompt-run",
        entityId: String(promptIds[1]),
        userId: "alice",
        lastError: "No.",
      };
      await orm.insert(deadLetter).values({ id: letter, ...dead });
      ids.push(sessionId, ...promptIds, id, letter);
    }
    const statuses = new Map<number, number>();

    const check = async ({ operation, path, headers, body }: FuzzRequest): Promise<void> => {
      const { method, operationId, responses } = operation;
      const reply = await app.handle(
        new Request(`http://localhost${path}`, { method, headers, ...(body !== undefined && { body }) }),
      );
      statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
      const media = reply.headers.get("content-type")?.split(";")[0] ?? "";
      const what = `${method} ${path.slice(0, 200)} (${operationId}) answered ${reply.status} ${media}`;
      if (reply.status >= 500) throw new Error(`${what}: ${await reply.text()}`);
      if (media === "text/event-stream") {
        await reply.body?.cancel();
        if (!responses["200"] || !("text/event-stream" in responses["200"]))
          throw new Error(`${what}: not documented`);
        return;
      }
      const text = await reply.text();
      if (reply.status === 304 || reply.status === 302) {
        if (text !== "" || !responses[reply.status])
          throw new Error(`${what}: not documented, or with a body`);
        return;
      }
      const known = responses[reply.status];
      const schema =
        known?.["application/json"] ?? (ALWAYS.includes(String(reply.status)) ? error : undefined);
      if (!schema) throw new Error(`${what}: not documented`);
      const problem = document.problemWith(schema, JSON.parse(text));
      if (problem) throw new Error(`${what}: ${problem}\n${text.slice(0, 500)}`);
      if (/select |insert into|at .*\.ts:\d+|PostgresError/i.test(reply.status >= 400 ? text : ""))
        throw new Error(`${what}: shows its insides: ${text}`);
    };
    const error = { $ref: "#/components/schemas/ErrorDto" };
    const batch = fc.array(requestsFor(document, ids), { minLength: AT_ONCE, maxLength: AT_ONCE });
    // Not `assert`: its report of twenty random requests is longer than anybody reads.
    const result = await fc.check(
      fc.asyncProperty(batch, async (requests) => void (await Promise.all(requests.map(check)))),
      { numRuns: Math.ceil(REQUESTS / 2 / AT_ONCE), seed: SEED, endOnFailure: true },
    );
    if (result.failed)
      throw new Error(`after ${result.numRuns} batches: ${String(result.errorInstance).slice(0, 1_000)}`);
    hub.endStreams();
    await hub.close();
    // It got everywhere: successes, refusals, and each kind of them.
    for (const status of [200, 304, 400, 401, 404, 409, 422]) expect([...statuses.keys()]).toContain(status);
  }, 600_000);
});
