import { useQuery } from "@tanstack/react-query";
import { useLocation, useParams } from "@tanstack/react-router";
import {
  lazy,
  Suspense,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { NotFoundError, type PromptDto, type SessionDto, type TurnDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { useSessionActions } from "../inbox/actions.ts";
import { useEvents, useSession } from "../live/live.tsx";
import { useTitle } from "../notify/title.ts";
import { Empty } from "../ui/empty.tsx";
import { untilLoaded } from "../ui/later.ts";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { allRows } from "./all-rows.ts";
import { Conversation } from "./conversation.ts";
import { ConversationList } from "./conversation-list.tsx";
import { FoldProvider } from "./fold.tsx";
import { FollowUp } from "./follow-up.tsx";
import { Header } from "./header.tsx";
import { SessionId } from "./items/file-link.tsx";
import { Missing } from "./missing.tsx";
import { Permissions, usePermissions } from "./permissions.ts";
import { PromptActions } from "./prompt-actions.ts";
import { sessionQuery } from "./session-query.ts";
import { useSteering } from "./steering.ts";
import { usePrompts } from "./use-prompts.ts";

/** Not needed for the first look at the page. */
const ForkDialog = lazy(() => untilLoaded(() => import("./fork-dialog.tsx")));

/** One session: its conversation as it happens, and what can be done with it. */
export function SessionPage() {
  const { id } = useParams({ from: "/s/$id/" });
  const { data, error, refetch } = useQuery(sessionQuery(id));
  const session = useSession(id) ?? data;
  if (error && (!data || error instanceof NotFoundError))
    return <Missing id={id} error={error} onRetry={() => void refetch()} />;
  if (!session) return <Loading what="the session" />;
  // Another session is another page: nothing of this one stays.
  return <Page key={id} session={session} turns={data?.messages ?? NO_TURNS} />;
}

const NO_TURNS: readonly TurnDto[] = [];

function Page({ session, turns }: { session: SessionDto; turns: readonly TurnDto[] }) {
  const { id } = session;
  const { prompts, isSuccess, error, refetch, changed } = usePrompts(session);
  const { said, loaded, failure, retry } = useConversation(id, isSuccess ? prompts : undefined);
  const { pending, steer } = useSteering({ prompts, said });
  const hash = useLocation({ select: (location) => location.hash });
  const [forked, setForked] = useState<{ promptId: string | undefined }>();
  useTitle(session.title);
  useSeen(session);

  const rows = useMemo(() => {
    const own = new Set(prompts.map((prompt) => prompt.id));
    const earlier = isSuccess ? turns.filter((turn) => !own.has(turn.prompt_id)) : NO_TURNS;
    return allRows({ prompts, said, pending, earlier: session.parent === null ? NO_TURNS : earlier });
  }, [prompts, isSuccess, said, turns, session.parent, pending]);
  const permissions = usePermissions(session, rows);
  const actions = useMemo(
    () => ({ fork: (promptId: string) => setForked({ promptId }), changed }),
    [changed],
  );
  const busy = session.inboxStatus === "Pending" || session.inboxStatus === "Processing";

  return (
    <div className="session">
      <Header session={session} prompts={prompts} onFork={() => setForked({ promptId: undefined })} />
      {(failure !== undefined && !loaded) || (error && !isSuccess) ? (
        <Problem
          title="The conversation could not be read"
          error={failure ?? error}
          onRetry={() => {
            retry();
            void refetch();
          }}
        />
      ) : !isSuccess || (!loaded && rows.length === 0) ? (
        <Loading what="the conversation" />
      ) : rows.length === 0 ? (
        <Empty title="Nothing has been asked yet">
          <p>Write the first prompt below.</p>
        </Empty>
      ) : (
        <SessionId value={id}>
          <PromptActions.Provider value={actions}>
            <Permissions.Provider value={permissions}>
              <FoldProvider>
                <ConversationList rows={rows} hash={hash} />
              </FoldProvider>
            </Permissions.Provider>
          </PromptActions.Provider>
        </SessionId>
      )}
      <FollowUp session={session} {...{ busy, steer }} onSent={changed} />
      <Suspense>
        {forked && (
          <ForkDialog session={session} promptId={forked.promptId} onClose={() => setForked(undefined)} />
        )}
      </Suspense>
    </div>
  );
}

/** What is shown to somebody who looks is seen. */
function useSeen(session: SessionDto): void {
  const { markSeen } = useSessionActions();
  const latest = useRef({ markSeen, session });
  latest.current = { markSeen, session };
  const { unread } = session;
  useEffect(() => {
    if (!unread) return;
    const look = () => {
      if (document.visibilityState === "visible") void latest.current.markSeen(latest.current.session, true);
    };
    look();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [unread]);
}

/** The conversation of a session, live. @param prompts undefined while they are not known. */
function useConversation(id: string, prompts: readonly PromptDto[] | undefined) {
  const [conversation] = useState(
    () =>
      new Conversation(id, {
        ofPrompt: (promptId, signal) => client.messages.list(promptId, { limit: PAGE }, { signal }),
        after: (seq, signal) => client.events.session(id, { after: seq, signal }),
      }),
  );
  const [attempt, setAttempt] = useState(0);
  useEvents(conversation.apply);
  const latest = useRef(prompts);
  latest.current = prompts;
  const ready = prompts !== undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each attempt starts anew.
  useEffect(() => {
    if (!ready) return;
    const ended = new AbortController();
    conversation.start(latest.current?.map((prompt) => prompt.id) ?? [], ended.signal);
    return () => ended.abort();
  }, [conversation, ready, attempt]);
  const snapshot = useSyncExternalStore(conversation.subscribe, conversation.getSnapshot);
  const retry = useCallback(() => setAttempt((before) => before + 1), []);
  return { ...snapshot, retry };
}

/** Most messages of a page. */
const PAGE = 500;
