import { expect, test } from "bun:test";
import type { Orm } from "../../src/db/client.ts";
import { createVersionReader } from "../../src/live/versions.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession } from "../harness/seed.ts";

describeEachDatabase("whether sessions have changed", (database) => {
  test("one statement tells many streams", async () => {
    const sessions = await Promise.all(Array.from({ length: 5 }, () => seedSession(database(), 1)));
    let statements = 0;
    const counting = new Proxy(database().orm, {
      get(orm, name, self) {
        if (name === "execute") statements += 1;
        return Reflect.get(orm, name, self);
      },
    }) as Orm;
    const reader = createVersionReader(counting);
    const ids = sessions.map(({ sessionId }) => sessionId);
    const versions = await Promise.all([...ids, ...ids, crypto.randomUUID()].map(reader.versionOf));
    expect(versions.slice(0, 5)).toEqual(versions.slice(5, 10));
    expect(versions.slice(0, 5).every((one) => typeof one === "number")).toBe(true);
    expect(versions[10]).toBeUndefined();
    expect(statements).toBe(1);
  });
});
