import { expect, test } from "bun:test";
import type { PromptDto, SessionDto } from "../../../sdk/src/index.ts";
import { choiceInput, isChosen, NO_CHOICE } from "../../../src/console/choice/choice.ts";
import { groupOf, stateOf } from "../../../src/console/inbox/groups.ts";
import { suggestionFor, waitsForRaise } from "../../../src/console/session/budget.ts";
import { readUsd, usd, usdInput, usdOf } from "../../../src/console/ui/usd.ts";

test("amounts are shown in cents, and small ones by the two digits that count", () => {
  expect([0, 0.42, 1.005, 2, 1234.5, 0.04, 0.031, 0.00042, 0.0449, 1e-9, 1e-12].map(usd)).toEqual([
    ...[
      "$0.00",
      "$0.42",
      "$1.01",
      "$2.00",
      "$1,234.50",
      "$0.04",
      "$0.031",
      "$0.00042",
      "$0.045",
      "$0.000000001",
      "$0.00",
    ],
  ]);
  expect([usdOf(0.42, 2), usdOf(0.42, null), usdOf(0.42, undefined)]).toEqual([
    ...["$0.42 of $2.00", "$0.42", "$0.42"],
  ]);
});

test("what somebody types is an amount above 0, or none", () => {
  expect(["2.50", " $2.5 ", ".5", "7.", "1000000"].map(readUsd)).toEqual([2.5, 2.5, 0.5, 7, 1_000_000]);
  for (const text of ["", "0", "0.00", "-1", "2,50", "1e3", "0x10", ".", "1000000.01", "much", "1 2"])
    expect(readUsd(text)).toBeUndefined();
});

test("an amount is offered as somebody would type it, small ones without an exponent", () => {
  const amounts = [2, 0.1, 0.031, 1e-7, 1_000_000];
  const typed = amounts.map(usdInput);
  expect(typed).toEqual(["2.00", "0.10", "0.031", "0.0000001", "1000000.00"]);
  expect(typed.map(readUsd)).toEqual(amounts);
});

test("a budget is sent if there is one; what is none is refused at its field", () => {
  expect(choiceInput({ ...NO_CHOICE, budget_usd: " $2.50" })).toEqual({ budget_usd: 2.5 });
  expect(choiceInput({ ...NO_CHOICE, budget_usd: " " })).toEqual({});
  expect(() => choiceInput({ ...NO_CHOICE, budget_usd: "much" })).toThrow("A number of US dollars");
  // Of a draft from before there was such a field.
  const { budget_usd: _, ...earlier } = NO_CHOICE;
  expect([isChosen(earlier), choiceInput(earlier)]).toEqual([false, {}]);
});

/** Cause: of a call that is dearer than twice the budget, twice the budget was offered: it was refused again at once. */
test("as much again is offered, or what the refused call needs", () => {
  const offered = (limit: number, spent: number, call: number) =>
    suggestionFor({
      usage: { cost_usd: spent },
      waiting_budget: { scope: "run", limit_usd: limit, spent_usd: spent, call_usd: call },
    } as unknown as PromptDto);
  expect([offered(2, 1.93, 0.12), offered(0.05, 0.04, 0.01), offered(0.004, 0, 0.001)]).toEqual([
    ...["4.00", "0.10", "0.008"],
  ]);
  expect([offered(0.05, 0.04, 1.2301), offered(0.01, 0, 0.04), offered(0.001, 0, 0.031000001)]).toEqual([
    ...["1.28", "0.04", "0.031000001"],
  ]);
});

test("what goes on by itself is not led to", () => {
  const waits = { waiting_for: "budget", next_attempt_at: null } as const;
  expect(waitsForRaise(waits)).toBe(true);
  expect(waitsForRaise({ ...waits, next_attempt_at: "2026-12-01T00:00:00.000Z" })).toBe(false);
  expect(waitsForRaise({ ...waits, waiting_for: "permission" })).toBe(false);
});

test("a run that waits for money is its user's to answer, unless it goes on by itself", () => {
  const session = (more: Partial<SessionDto>) => {
    const of = { sessionStatus: "Active", inboxStatus: "Pending", waitingFor: "budget", nextAttemptAt: null };
    const one = { ...of, ...more } as SessionDto;
    return [groupOf(one), stateOf(one)];
  };
  expect(session({})).toEqual(["answer", "Waiting for its budget"]);
  expect(session({ nextAttemptAt: "2026-12-01T00:00:00.000Z" })).toEqual([
    "waiting",
    "Waiting for its budget",
  ]);
  expect(session({ waitingFor: "permission" })).toEqual(["answer", "Waiting for your answer"]);
  expect(session({ sessionStatus: "Completed" })).toEqual(["done", "Done"]);
});
