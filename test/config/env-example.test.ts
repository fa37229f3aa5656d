import { expect, test } from "bun:test";
import { join } from "node:path";
import { readConfig } from "../../src/config/config.ts";
import { VARIABLES } from "../../src/config/variables/all.ts";
import { envExample } from "../harness/env-example.ts";

const file = join(import.meta.dir, "../../.env.example");
if (process.env["UPDATE_ENV_EXAMPLE"]) await Bun.write(file, envExample());

test(".env.example lists every variable with its default (else: UPDATE_ENV_EXAMPLE=1 bun test test/config/env-example.test.ts)", async () => {
  expect(await Bun.file(file).text()).toBe(envExample());
});

test("it lists each variable once, and its values are the defaults", async () => {
  const lines = (await Bun.file(file).text()).split("\n").flatMap((line) => {
    const [, name, value] = /^#([A-Z_]+)=(.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, value ?? ""] as const];
  });
  expect(lines.map(([name]) => name)).toEqual(Object.keys(VARIABLES));
  expect(readConfig(Object.fromEntries(lines))).toEqual(readConfig({}));
});
