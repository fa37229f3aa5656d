import { expect, test } from "bun:test";
import type { PromptBackend, SessionDto } from "../../../sdk/src/index.ts";
import { LiveSessions } from "../../../src/console/live/sessions.ts";

const session = (id: string, more: Partial<SessionDto> = {}) =>
  ({ id, title: id, unread: true, sessionStatus: "Active", ...more }) as SessionDto;
const told = (data: SessionDto) => ({ event: "session", id: undefined, data }) as never;
const ready = (sessions: number) => ({ event: "ready", id: "1", data: { sessions } }) as never;

/** A list of pages, of which each is answered when `answer` is called. */
function listOf(pages: readonly SessionDto[][]) {
  const asked: (() => void)[] = [];
  const list = async ({ cursor }: { cursor?: string }) => {
    const index = Number(cursor ?? 0);
    await new Promise<void>((resolve) => {
      asked[index] = resolve;
    });
    return { data: pages[index] ?? [], nextCursor: index + 1 < pages.length ? String(index + 1) : null };
  };
  const answer = async (index: number) => {
    while (!asked[index]) await new Promise((resolve) => setTimeout(resolve));
    asked[index]();
  };
  return { client: { sessions: { list } } as unknown as PromptBackend, answer };
}

/** What is shown, after the next time that listeners are told. */
const shown = async (sessions: LiveSessions, id: string) => {
  await new Promise<void>((resolve) => {
    const end = sessions.subscribe(() => {
      end();
      resolve();
    });
  });
  return sessions.getSnapshot().sessions.get(id);
};

test("a tab that hears the stream from the middle goes on reading the list, which has the others", async () => {
  const sessions = new LiveSessions(async () => undefined);
  const { client, answer } = listOf([[session("new")], [session("middle")], [session("old")]]);
  const loaded = sessions.load(client, AbortSignal.abort());
  await answer(0);
  sessions.apply(told(session("middle")));
  sessions.apply(ready(3));
  await answer(1);
  await answer(2);
  await loaded;
  expect(await shown(sessions, "old")).toMatchObject({ id: "old" });
  expect(sessions.getSnapshot().complete).toBe(true);
});

test("once the stream has told all of them, the list is not read any further", async () => {
  const sessions = new LiveSessions(async () => undefined);
  const { client, answer } = listOf([[session("new")], [session("old")]]);
  const loaded = sessions.load(client, AbortSignal.abort());
  for (const id of ["new", "old"]) sessions.apply(told(session(id)));
  sessions.apply(ready(2));
  await answer(0);
  await loaded;
  expect(sessions.getSnapshot().sessions.size).toBe(2);
});

test("an expectation that fails is taken back, and what the service has told meanwhile stays", async () => {
  const sessions = new LiveSessions(async () => undefined);
  sessions.apply(told(session("one")));
  const unarchive = sessions.expect("one", { sessionStatus: "Completed" });
  sessions.expect("one", { unread: false });
  expect(await shown(sessions, "one")).toMatchObject({ sessionStatus: "Completed", unread: false });
  unarchive();
  expect(await shown(sessions, "one")).toMatchObject({ sessionStatus: "Active", unread: false });

  const again = sessions.expect("one", { sessionStatus: "Completed" });
  sessions.apply(told(session("one", { title: "Told meanwhile" })));
  again();
  expect(await shown(sessions, "one")).toMatchObject({ title: "Told meanwhile", sessionStatus: "Active" });
});
