import type { SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { useExpectation } from "../live/live.tsx";
import { complain, say } from "../ui/notify.ts";

/** What can be done to a session from a list. Each shows at once, and is taken back if the service refuses it. */
export function useSessionActions() {
  const expect = useExpectation();

  const change = async (
    session: SessionDto,
    expected: Partial<SessionDto>,
    { act, failure }: { act: () => PromiseLike<unknown>; failure: string },
  ): Promise<boolean> => {
    const takeBack = expect(session.id, expected);
    try {
      await act();
      return true;
    } catch (error) {
      takeBack();
      await complain(failure, error);
      return false;
    }
  };

  const unarchive = (session: SessionDto) =>
    change(
      session,
      { uiStatus: "NeedsReview", sessionStatus: "Active" },
      {
        act: () => client.sessions.update(session.id, { ui_status: "NeedsReview" }),
        failure: `“${session.title}” is still archived`,
      },
    );

  return {
    /** Offers to undo it. */
    async archive(session: SessionDto): Promise<void> {
      const done = await change(
        session,
        { uiStatus: "Archived", sessionStatus: "Completed" },
        {
          act: () => client.sessions.archive(session.id),
          failure: `“${session.title}” was not archived`,
        },
      );
      if (done)
        await say(`Archived “${session.title}”`, { label: "Undo", run: () => void unarchive(session) });
    },
    unarchive,
    markSeen: (session: SessionDto, seen: boolean) =>
      change(
        session,
        { unread: !seen },
        {
          act: () => client.sessions.markSeen(session.id, seen ? {} : { unread: true }),
          failure: `“${session.title}” was not marked`,
        },
      ),
  };
}
