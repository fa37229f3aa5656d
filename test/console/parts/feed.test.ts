import { expect, test } from "bun:test";
import type { PromptBackend, UserEvent } from "../../../sdk/src/index.ts";
import { openFeed } from "../../../src/console/live/feed.ts";

const event = (id: string): UserEvent => ({ event: "ready", id, data: { sessions: 0 } });

/** What happens to the connection: it breaks, the server closes or refuses it, or an event comes. */
type Step = "broken" | "closed" | "refused" | UserEvent;

/** A tab that reads the stream, and another one that only listens. @returns what each has heard once all steps are done. */
async function heard(steps: readonly Step[]) {
  const ended = new AbortController();
  const done = Promise.withResolvers<void>();
  const userId = crypto.randomUUID();
  const left = [...steps];
  const events = {
    async *all({ onReconnect }: { onReconnect(error: unknown): void }) {
      for (let step = left.shift(); step; step = left.shift())
        if (step === "refused") throw new Error("refused");
        else if (step === "broken") onReconnect(new Error("gone"));
        else if (step === "closed") onReconnect(undefined);
        else yield step;
      done.resolve();
      await new Promise((resolve) => ended.signal.addEventListener("abort", resolve, { once: true }));
    },
  };
  const tab = (after: Promise<void>) => {
    const log: string[] = [];
    openFeed({
      ...{ client: { events } as unknown as PromptBackend, userId, after, signal: ended.signal, pauseMs: 1 },
      handlers: {
        onEvent: ({ id }) => void log.push(id ?? ""),
        onBack: () => void log.push("back"),
        onRefused: () => void log.push("refused"),
      },
    });
    return log;
  };
  // Without locks, each tab would read for itself.
  const other = tab(new Promise(() => undefined));
  const reader = tab(Promise.resolve());
  const last = new BroadcastChannel(`prompt-backend:${userId}`);
  const told = new Promise<void>((resolve) => {
    last.onmessage = ({ data }: MessageEvent<{ event?: UserEvent }[]>) => {
      if (data.at(-1)?.event?.id === "last") resolve();
    };
  });
  await Promise.all([done.promise, told]);
  last.close();
  ended.abort();
  return { reader, other };
}

test("a connection that was lost is back with the next event, which every tab hears once", async () => {
  const log = ["1", "back", "2", "3", "back", "last"];
  const steps = [event("1"), "broken", "broken", event("2"), event("3"), "broken", "closed", event("last")];
  expect(await heard(steps as Step[])).toEqual({ reader: log, other: log });
});

test("a stream that the server has closed in its time was not lost", async () => {
  const log = ["1", "2", "last"];
  const steps = ["closed", event("1"), "closed", event("2"), event("last")];
  expect(await heard(steps as Step[])).toEqual({ reader: log, other: log });
});

test("a stream that was refused is asked for again: nothing else would bring the page up to date", async () => {
  const log = ["1", "refused", "refused", "back", "2", "last"];
  const steps = [event("1"), "refused", "refused", event("2"), event("last")];
  expect(await heard(steps as Step[])).toEqual({ reader: log, other: log });
});
