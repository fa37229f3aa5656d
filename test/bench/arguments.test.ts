import { expect, test } from "bun:test";
import { choose, parseBenchArguments, UsageError, usage } from "./arguments.ts";
import { scenarios } from "./scenarios/index.ts";

test("without options, five rounds of three seconds are measured, of ours alone", () => {
  expect(parseBenchArguments([])).toEqual({
    scenarios: [],
    help: false,
    json: false,
    write: false,
    rounds: 5,
    seconds: 3,
    target: undefined,
    binary: undefined,
    label: undefined,
    before: undefined,
    from: undefined,
  });
});

test("a target has the token that is given, or that of the environment", () => {
  const target = ["http", "--target", "http://127.0.0.1:1/"];
  expect(parseBenchArguments([...target, "--token", "a"], { BENCH_TOKEN: "b" }).target).toEqual({
    url: "http://127.0.0.1:1",
    token: "a",
  });
  expect(parseBenchArguments(target, { BENCH_TOKEN: "b" }).target?.token).toBe("b");
  expect(parseBenchArguments(target).target?.token).toBeUndefined();
});

test.each([
  [["--round", "3"], "--round"],
  [["--rounds", "0"], "--rounds must be a whole number from 1, not 0"],
  [["--seconds", "1.5"], "--seconds must be a whole number from 1, not 1.5"],
  [["--target", "localhost:3000"], "--target must be an http or https URL, not localhost:3000"],
  [["--token", "x"], "--token is for --target"],
])("%j is refused", (args, message) => {
  expect(() => parseBenchArguments(args)).toThrow(UsageError);
  expect(() => parseBenchArguments(args)).toThrow(message);
});

test("scenarios are chosen by name, in the order of the command line; a wrong name is told the right ones", () => {
  const all = [{ name: "a" }, { name: "b" }];
  expect(choose(all, [])).toEqual(all);
  expect(choose(all, ["b", "a"]).map(({ name }) => name)).toEqual(["b", "a"]);
  expect(() => choose(all, ["c"])).toThrow("there is no scenario c; there are: a, b");
});

test("the help names each scenario, which has a name of its own", () => {
  const names = scenarios.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(usage(scenarios)).toContain(`\n  ${name} `);
});
