import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { useSession, useSessions } from "../live/live.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { ChangesView } from "./changes-view.tsx";
import { useLiveReview } from "./live-review.ts";
import { diffQuery } from "./queries.ts";
import { WholeFile } from "./whole-file.tsx";

/** What a session has done, to be judged: its changes, comments on them, the way into the target branch. */
export function ReviewPage() {
  const { id } = useParams({ from: "/s/$id/review" });
  const session = useSession(id);
  const { complete } = useSessions();
  if (session) return <Review session={session} key={id} />;
  if (!complete) return <Loading what="the session" />;
  return (
    <Empty title="There is no such session">
      <p>It was deleted, or it is another user's.</p>
      <Link to="/">Go to the inbox</Link>
    </Empty>
  );
}

function Review({ session }: { session: SessionDto }) {
  const { prompt, file, at } = useSearch({ from: "/s/$id/review" });
  useLiveReview(session);
  const { data: diff, error, refetch } = useQuery(diffQuery(session.id, prompt));
  if (error && !diff)
    return <Problem title="The changes could not be read" error={error} onRetry={() => void refetch()} />;
  if (!diff) return <Loading what="the changes" />;
  if (file !== undefined) return <WholeFile session={session} diff={diff} path={file} at={at ?? diff.head} />;
  return <ChangesView session={session} diff={diff} prompt={prompt} />;
}
