import { expect, test } from "bun:test";
import { readLoad } from "./generator.ts";
import { plot } from "./plot.ts";
import { goalText, isMet, type Results, ratioOf, readResults, tables, toJson } from "./report.ts";
import { type Figure, interleave } from "./scenario.ts";
import { replacePart } from "./write.ts";

const read: Figure = {
  measure: "read <1>",
  unit: "requests/s",
  // As if the machine had been busy in the second round: the ratio was the same.
  samples: [800, 80, 820],
  reference: { name: "bare", samples: [1000, 100, 1000] },
  goal: { atLeast: 0.75 },
  details: { "CPU, µs": 1234.5 },
};
const claim: Figure = { measure: "claim", unit: "ms", samples: [5, 4, 3], goal: { atMost: 3 } };
const results = (figures: Figure[]): Results => ({
  at: "2026-11-29T08:00:00.000Z",
  label: "abc1234",
  machine: "2 cores",
  rounds: 3,
  seconds: 1,
  scenarios: [{ name: "http", about: "Reads.", figures }],
});

test("samples are taken in turns, each round beginning with another", async () => {
  const order: string[] = [];
  const take = (name: string) => async () => order.push(name);
  const samples = await interleave(3, { a: take("a"), b: take("b") });
  expect(order).toEqual(["a", "b", "b", "a", "a", "b"]);
  expect(samples).toEqual({ a: [1, 4, 5], b: [2, 3, 6] });
});

test("a ratio is the median of the rounds' ratios, and goals are about it; without a reference, about the median", () => {
  expect(ratioOf(read)).toBe(0.8);
  expect(isMet(read)).toBe(true);
  expect(isMet({ ...read, goal: { atLeast: 0.81 } })).toBe(false);
  expect(ratioOf({ ...read, samples: [500] })).toBe(0.5);
  expect(ratioOf(claim)).toBeUndefined();
  expect(isMet(claim)).toBe(false);
  expect(isMet({ measure: "x", unit: "MB", samples: [1] })).toBeUndefined();
});

test("the table has the median with its spread, the reference, the ratio, the goal, and the earlier run beside them", () => {
  const before = results([{ ...read, samples: [300, 30, 310] }]);
  const text = tables(results([read, claim]), before);
  expect(text).toContain(
    "| read <1> | requests/s | 800 (80 – 820) | bare: 1,000 (100 – 1,000) | 0.8 | ≥ 0.75 | yes | 300 | 0.3 |",
  );
  expect(text).toContain("| claim | ms | 4 (3 – 5) | – | – | ≤ 3 ms | **no** | – | – |");
  expect(text).toContain("| read <1> | CPU, µs | 1,235 |");
  expect(tables(results([read]))).not.toContain("before");
});

test("the JSON can be read as results again", () => {
  const again = JSON.parse(toJson(results([read])));
  expect(again.scenarios[0].figures[0]).toMatchObject({ ...read, median: 800, ratio: 0.8, met: true });
  expect(tables(again)).toBe(tables(results([read])));
});

test("a file without results is refused by its name", async () => {
  await expect(readResults("/nowhere.json")).rejects.toThrow("/nowhere.json: ");
  await expect(readResults("package.json")).rejects.toThrow("package.json has no results of the bench");
  expect(await readResults(undefined)).toBeUndefined();
});

test("the plot has a bar for each goal, with what was measured as text; none without goals", () => {
  const svg = plot("reads & claims", [read, claim], [claim]) ?? "";
  expect(svg.match(/<rect/g)).toHaveLength(3);
  expect(svg).toContain("<title>reads &amp; claims</title>");
  expect(svg).toContain("read &lt;1&gt;");
  expect(svg).toContain("0.8; goal ≥ 0.75: met");
  expect(goalText({ ...read, goal: { atLeast: 1 / 1.2 } })).toBe("≥ 0.833");
  expect(svg).toContain("4 ms, before 4; goal ≤ 3 ms: missed");
  expect(plot("none", [{ measure: "x", unit: "MB", samples: [1] }])).toBeUndefined();
});

test("the document's part of a scenario is replaced between its comments, and added where there is none", () => {
  const text = "# P\n<!-- bench http -->\nold\n<!-- /bench http -->\nprose\n";
  const replaced = replacePart(text, "http", "new\n");
  expect(replaced).toBe("# P\n<!-- bench http -->\nnew\n<!-- /bench http -->\nprose\n");
  expect(replacePart(replaced, "http", "new\n")).toBe(replaced);
  expect(replacePart("# P\n", "idle", "new\n")).toBe(
    "# P\n\n## idle\n\n<!-- bench idle -->\nnew\n<!-- /bench idle -->\n",
  );
  expect(() => replacePart("<!-- bench http -->", "http", "new\n")).toThrow("is not followed by");
});

test("what wrk prints is read in milliseconds, and anything else is an error", () => {
  const text = `  Latency Distribution
     50%  850.00us
     75%    1.20ms
     90%    2.00ms
     99%    1.50s
  25290 requests in 2.01s, 6.33MB read
Requests/sec:  12589.42`;
  expect(readLoad(text)).toEqual({ requests: 25290, rate: 12589.42, p50: 0.85, p99: 1500 });
  expect(() => readLoad("unable to connect")).toThrow("not understood: unable to connect");
});
