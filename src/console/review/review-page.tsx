import { useQuery } from "@tanstack/react-query";
import { useParams, useSearch } from "@tanstack/react-router";
import { NotFoundError, type SessionDto } from "../../../sdk/src/index.ts";
import { useSession } from "../live/live.tsx";
import { useTitle } from "../notify/title.ts";
import { Missing } from "../session/missing.tsx";
import { sessionQuery } from "../session/session-query.ts";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { ChangesView } from "./changes-view.tsx";
import { useLiveReview } from "./live-review.ts";
import { diffQuery } from "./queries.ts";
import { WholeFile } from "./whole-file.tsx";

/** What a session has done, to be judged: its changes, comments on them, the way into the target branch. */
export function ReviewPage() {
  const { id } = useParams({ from: "/s/$id/review" });
  const { data, error, refetch } = useQuery(sessionQuery(id));
  const session = useSession(id) ?? data;
  if (error && (!data || error instanceof NotFoundError))
    return <Missing id={id} error={error} onRetry={() => void refetch()} />;
  if (!session) return <Loading what="the session" />;
  return <Review session={session} key={id} />;
}

function Review({ session }: { session: SessionDto }) {
  const { prompt, file, at } = useSearch({ from: "/s/$id/review" });
  useTitle(`Review: ${session.title}`);
  useLiveReview(session);
  const { data: diff, error, refetch } = useQuery(diffQuery(session.id, prompt));
  if (error && !diff)
    return <Problem title="The changes could not be read" error={error} onRetry={() => void refetch()} />;
  if (!diff) return <Loading what="the changes" />;
  if (file !== undefined) return <WholeFile session={session} diff={diff} path={file} at={at ?? diff.head} />;
  return <ChangesView session={session} diff={diff} prompt={prompt} />;
}
