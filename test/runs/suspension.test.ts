import { expect, test } from "bun:test";
import { suspensionOf } from "../../src/runs/suspension.ts";
import { type Denied, denialOf } from "../../src/spend/denials.ts";
import { NANO } from "../../src/spend/money.ts";

const limit = { name: "budget", reason: "It is used up." } as const;
/** As it is for a run whose call was refused. */
const refusedFor = (refusal: Partial<Denied>) =>
  ({ run: { attempt: 2 }, agentRun: { gateway: { exhausted: AbortSignal.abort(refusal) } } }) as never;
const used = { most: 2 * NANO, spent: 1.5 * NANO, amount: 0.75 * NANO };

test("a run waits for its user where nothing begins anew, and not for what its user cannot raise", () => {
  const suspension = suspensionOf(refusedFor({ scope: "run", budget: { ...used, until: undefined } }), limit);
  expect(suspension).toMatchObject({
    ...{ until: undefined, budget: { scope: "run", limit_usd: 2, spent_usd: 1.5, call_usd: 0.75 } },
    failure: {
      ...{ attempt: 2, kind: "limit" },
      error: "It is used up. It goes on when its user raises the budget.",
    },
  });
  expect(
    suspensionOf(refusedFor({ scope: "session", budget: { ...used, until: undefined } }), limit),
  ).toBeUndefined();
  expect(suspensionOf(refusedFor({}), limit)).toBeUndefined();
});

/** Cause: the day was that of the suspension. A run that was refused just before midnight waited a day too long. */
test("the new budget is that of the day after the refusal, however long the run takes to end", () => {
  const until = new Date(Date.now() - 1_000);
  expect(suspensionOf(refusedFor({ scope: "user_day", budget: { ...used, until } }), limit)?.until).toBe(
    until,
  );
  const { budget } = denialOf({ why: "budget", scope: "user_day", ...used, reserved: 0 });
  const midnight = new Date();
  midnight.setUTCHours(24, 0, 0, 0);
  expect(budget?.until).toEqual(midnight);
});

/** Cause: such a run was started, refused and suspended again at each midnight, for ever. */
test("a call that is dearer than a whole day's budget is not waited for; one that its user can pay for is", () => {
  const dear = { why: "budget", ...used, reserved: 0, amount: 3 * NANO } as const;
  for (const scope of ["user_day", "user_month", "deployment_day"] as const)
    expect(suspensionOf(refusedFor(denialOf({ ...dear, scope })), limit)).toBeUndefined();
  expect(suspensionOf(refusedFor(denialOf({ ...dear, scope: "run" })), limit)).toBeDefined();
});

test("what all users have spent together is not told to each of them", () => {
  const used = { why: "budget", most: 2 * NANO, spent: 1.5 * NANO, reserved: 0 } as const;
  for (const amount of [NANO, 3 * NANO]) {
    const { message } = denialOf({ ...used, scope: "deployment_day", amount });
    expect(message).toContain("this deployment today");
    expect(message).not.toMatch(/\$(2|1\.5)/);
    expect(denialOf({ ...used, scope: "user_day", amount }).message).toContain("$2.00 for you today");
  }
  const refusal = denialOf({ ...used, scope: "deployment_day", amount: NANO });
  expect(refusal.message).toBe(
    "The budget is used up: for this deployment today, the next call could cost $1.00, more than what is left.",
  );
  expect(suspensionOf(refusedFor(refusal), limit)?.budget).toEqual({ scope: "deployment_day", call_usd: 1 });
});
