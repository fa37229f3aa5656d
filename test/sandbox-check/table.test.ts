import { expect, test } from "bun:test";
import { ATTACKS } from "../../src/sandbox-check/table.ts";
import { read } from "../docs/guide.ts";

const MODEL = "docs/THREAT-MODEL.md";

test("the table has at least 100 attacks, each with an id of its own and with something that stops it", () => {
  const ids = ATTACKS.map(({ id }) => id);
  expect(ids.length).toBeGreaterThanOrEqual(100);
  expect(new Set(ids).size).toBe(ids.length);
  for (const attack of ATTACKS) {
    expect(attack.id).toMatch(/^[a-z]+(-[a-z0-9]+)+$/);
    expect([attack.id, attack.stoppedBy !== "", attack.title !== ""]).toEqual([attack.id, true, true]);
    expect([attack.id, Boolean(attack.inside)]).toEqual([attack.id, true]);
  }
});

test("the threat model names every attack, and none that does not exist", async () => {
  const text = await read(MODEL);
  const groups = [...new Set(ATTACKS.map(({ id }) => id.split("-")[0]))].join("|");
  const named = [...text.matchAll(new RegExp(`\`((?:${groups})-[a-z0-9-]+)\``, "g"))].map(
    ([, id = ""]) => id,
  );
  expect([...new Set(named)].sort()).toEqual(ATTACKS.map(({ id }) => id).sort());
});
