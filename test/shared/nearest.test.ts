import { expect, test } from "bun:test";
import { nearest } from "../../src/shared/nearest.ts";

test.each<[name: string, known: string[], near: string | undefined]>([
  ["task_tpye", ["kind", "task_type"], "task_type"],
  ["taskType", ["kind", "task_type"], "task_type"],
  ["staus", ["status", "state"], "status"],
  ["message", ["repo", "messages"], "messages"],
  ["tagret_brnach", ["target_branch"], "target_branch"],
  ["Q", ["q"], "q"],
  ["x", ["q", "id"], undefined],
  ["budget_usd", ["repo", "messages"], undefined],
  ["", ["q"], undefined],
  ["a".repeat(41), ["a".repeat(40)], undefined],
])("the known name nearest to %p of %p is %p", (name, known, near) => {
  expect(nearest(name, known)).toBe(near);
});
