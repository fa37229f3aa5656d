import { expect, test } from "bun:test";
import { Kind } from "@sinclair/typebox";
import { makeApp } from "../harness/app.ts";

/** The names that a schema refers to, however deep. */
function refersTo(schema: unknown): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  const { [Kind]: kind, $ref } = schema as { [Kind]?: unknown; $ref?: unknown };
  const own = kind === "Ref" || kind === "This" || kind === "Import" ? [String($ref)] : [];
  return [...own, ...Object.values(schema).flatMap(refersTo)];
}

test("no model refers to another by name: nothing would resolve it", () => {
  const models = Object.entries(makeApp()["getGlobalDefinitions"]().type);
  expect(models.length).toBeGreaterThan(50);
  // What is only published, as a reference, is nothing that is checked.
  expect(models.filter(([, schema]) => refersTo(schema).length > 0).map(([name]) => name)).toEqual([]);
});
