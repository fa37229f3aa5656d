import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { PullRequestDto, SessionDto } from "../../../sdk/src/index.ts";
import { Icon } from "../shell/icons.tsx";
import { Button } from "../ui/button.tsx";
import { Outside } from "../ui/outside.tsx";
import { Problem } from "../ui/problem.tsx";
import { Time } from "../ui/time.tsx";
import { visible } from "../ui/visible-text.ts";
import { CreateDialog } from "./create-dialog.tsx";
import { MergeDialog } from "./merge-dialog.tsx";
import { pullRequestQuery } from "./queries.ts";

/** The session's pull request, as its host shows it: live while the page is open. */
export function PullRequestPanel({ session }: { session: SessionDto }) {
  const { data, error, refetch } = useQuery(pullRequestQuery(session.id));
  const [dialog, setDialog] = useState<"create" | "merge">();
  if (error && !data)
    return (
      <Problem title="The pull request could not be read" error={error} onRetry={() => void refetch()} />
    );
  if (!data) return null;
  const { pull_request: pullRequest, problem } = data;
  const close = () => setDialog(undefined);
  return (
    <section className="panel" aria-label="Pull request">
      <h2>Pull request</h2>
      {problem !== null && (
        <p className="notice" role="status">
          {visible(problem)} What follows is what was known before.
        </p>
      )}
      {pullRequest ? (
        <Details pullRequest={pullRequest} onMerge={() => setDialog("merge")} />
      ) : (
        <p className="muted">There is none yet.</p>
      )}
      {pullRequest?.state !== "open" && (
        <Button look={pullRequest ? "plain" : "primary"} onClick={() => setDialog("create")}>
          {pullRequest ? "Create another pull request" : "Create a pull request"}
        </Button>
      )}
      {dialog === "create" && <CreateDialog session={session} onClose={close} />}
      {dialog === "merge" && pullRequest && (
        <MergeDialog session={session} pullRequest={pullRequest} onClose={close} />
      )}
    </section>
  );
}

const STATE_TONES = { open: "info", merged: "good", closed: "bad" } as const;
const CHECK_TONES = { passed: "good", failed: "bad", pending: "warn", skipped: undefined } as const;
const REVIEW_TONES = {
  approved: "good",
  changes_requested: "bad",
  commented: undefined,
  pending: "warn",
} as const;

function Details({ pullRequest, onMerge }: { pullRequest: PullRequestDto; onMerge: () => void }) {
  const { number, url, title, state, draft, base, mergeable, checks, reviews, read_at: readAt } = pullRequest;
  return (
    <>
      <p className="pull-request-title">
        <Outside href={url}>
          #{number} {visible(title)}
        </Outside>
      </p>
      <p>
        <span className="badge" data-tone={STATE_TONES[state]}>
          {draft && state === "open" ? "draft" : state}
        </span>{" "}
        <span className="muted">
          into <code>{visible(base)}</code>, seen <Time at={readAt} />
        </span>
      </p>
      <h3>Checks</h3>
      {checks === null ? (
        <p className="muted">Not known.</p>
      ) : checks.length === 0 ? (
        <p className="muted">It has none.</p>
      ) : (
        <ul className="states" aria-label="Checks">
          {checks.map((check, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: two checks may have one name.
            <li key={`${check.name} ${index}`}>
              <span className="badge" data-tone={CHECK_TONES[check.status]}>
                {check.status}
              </span>
              {check.url === null ? (
                visible(check.name)
              ) : (
                <Outside href={check.url}>{visible(check.name)}</Outside>
              )}
            </li>
          ))}
        </ul>
      )}
      <h3>Reviews</h3>
      {reviews === null ? (
        <p className="muted">Not known.</p>
      ) : reviews.length === 0 ? (
        <p className="muted">Nobody has reviewed it.</p>
      ) : (
        <ul className="states" aria-label="Reviews">
          {reviews.map((review) => (
            <li key={review.reviewer}>
              <span className="badge" data-tone={REVIEW_TONES[review.state]}>
                {review.state.replace("_", " ")}
              </span>
              {visible(review.reviewer)}
            </li>
          ))}
        </ul>
      )}
      {state === "open" && (
        <>
          {mergeable === false && <p className="notice">Its host says that it cannot be merged as it is.</p>}
          <Button look="primary" onClick={onMerge}>
            <Icon name="merge" /> Merge
          </Button>
        </>
      )}
    </>
  );
}
