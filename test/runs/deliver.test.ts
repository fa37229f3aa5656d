import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { deliver } from "../../src/runs/deliver.ts";
import { AgentKilled, classify, Interrupted } from "../../src/runs/failures.ts";
import type { RunWriter } from "../../src/runs/writer.ts";
import { RepositoryError, type Sandbox, type WorkResult } from "../../src/sandboxes/sandbox.ts";
import { withTimeout } from "../../src/shared/time.ts";
import { PROCESS } from "../harness/seed.ts";

const WORK: WorkResult = {
  start: "0000",
  commits: 1,
  commit: "abc1234def",
  head: "abc1234",
  added: { count: 1, ids: ["abc1234def"] },
  notices: [],
  push: { pushed: true, to: "there" },
};

/** Starts a delivery whose first `failures` attempts find the host unreachable. `onTry` is called in each attempt. */
function startDelivery(options: {
  failures: number;
  onTry?: (tries: number) => void;
  /** Whether the disk has lost what was written in the sandbox. */
  lost?: boolean;
  /** How many of the first attempts fail only after work has begun to leave the sandbox. */
  imports?: number;
  mayStartOver?: boolean;
  delivering?: boolean;
}) {
  const [life, cancelled] = [new AbortController(), new AbortController()];
  let tries = 0;
  const sandbox = {
    intact: async () => !options.lost,
    async deliverWork(...[, , onImport]: Parameters<Sandbox["deliverWork"]>) {
      tries += 1;
      if (tries <= (options.imports ?? 0)) onImport?.();
      options.onTry?.(tries);
      if (tries <= options.failures) throw new RepositoryError("The host is away.", undefined, "machine");
      return WORK;
    },
  } as unknown as Sandbox;
  const done = deliver({
    writer: { markDelivering: async () => undefined } as unknown as RunWriter,
    run: { data: "Do it", sessionId: "s", branch: "prompt/s" } as ClaimedRun,
    agent: { name: "demo" },
    sandbox,
    record: { ...PROCESS, ...(options.delivering && { delivering: true }) },
    mayStartOver: options.mayStartOver ?? true,
    life: life.signal,
    cancelled: cancelled.signal,
    logger: createLogger({ level: "silent" }),
  });
  return { life, cancelled, done, tries: () => tries };
}

// The pause, of up to 192 s, could not be aborted: SIGTERM ran into the deadline of the release stack, and the database was
// closed while the run still used it.
describe("the pause between two attempts to deliver", () => {
  // Jitter at its maximum makes the first pause three seconds long; none of these tests waits for it.
  const random = spyOn(Math, "random").mockReturnValue(1);
  afterAll(() => random.mockRestore());
  const withoutPause = (done: Promise<unknown>) =>
    withTimeout(2_000, done, "still pausing").catch((error) => error.message);

  test("ends at once when the lease is lost or the process shuts down", async () => {
    const { life, done, tries } = startDelivery({
      failures: 99,
      onTry: () => setTimeout(() => life.abort(new Error("shutting down"))),
    });
    expect(await withoutPause(done)).toBe("shutting down");
    expect(tries()).toBe(1);
  });

  test("ends at once when the run is cancelled: delivery is attempted once more", async () => {
    const { cancelled, done, tries } = startDelivery({
      failures: 99,
      onTry: () => setTimeout(() => cancelled.abort()),
    });
    expect(await withoutPause(done)).toBe("The host is away.");
    expect(tries()).toBe(2);
  });

  test("the last attempt of a cancelled run may succeed", async () => {
    const { cancelled, done } = startDelivery({
      failures: 1,
      onTry: () => setTimeout(() => cancelled.abort()),
    });
    expect(await withoutPause(done)).toEqual(WORK);
  });
});

// It was a transient failure like any other: the agent ran again, on top of what its first attempt had left in our copy of
// the repository, and its work was there twice.
test("a delivery that fails to the last try is no reason to do the work again", async () => {
  // No pauses.
  const random = spyOn(Math, "random").mockReturnValue(-0.5);
  try {
    const { done, tries } = startDelivery({ failures: 99 });
    const error = await done.catch((reason: unknown) => reason);
    expect(classify(error)).toEqual({
      kind: "interrupted",
      message:
        "The work could not be delivered to branch prompt/s: The host is away. Check what has arrived there, then send the prompt again.",
    });
    expect(tries()).toBe(8);
  } finally {
    random.mockRestore();
  }
});

// Found by chaos: a full disk broke the sandbox's file system, and delivery was tried for four minutes, on work that was gone.
describe("work that a full disk has lost", () => {
  let random: ReturnType<typeof spyOn>;
  beforeAll(() => {
    // No pauses.
    random = spyOn(Math, "random").mockReturnValue(-0.5);
  });
  afterAll(() => random.mockRestore());

  test("is done again if none of it has left the sandbox", async () => {
    const { done, tries } = startDelivery({ failures: 99, lost: true });
    expect(await done.catch((reason: unknown) => reason)).toBeInstanceOf(AgentKilled);
    expect(tries()).toBe(1);
  });

  test.each([
    ["a part of it may have left", 2, { imports: 1 }],
    ["an earlier runner may have delivered a part of it", 1, { delivering: true }],
    ["the run has reached a limit", 1, { mayStartOver: false }],
  ])("is not done again if %s", async (_, count, how) => {
    const { done, tries } = startDelivery({ failures: 99, lost: true, ...how });
    expect(await done.catch((reason: unknown) => reason)).toBeInstanceOf(Interrupted);
    expect(tries()).toBe(count);
  });

  test("is not asked about while it can be read: the host may be back", async () => {
    const { done, tries } = startDelivery({ failures: 2, imports: 2, lost: true });
    expect(await done).toEqual(WORK);
    expect(tries()).toBe(3);
  });

  test("is no reason to give up what was delivered", async () => {
    const { done } = startDelivery({ failures: 0, lost: true });
    expect(await done).toEqual(WORK);
  });
});
