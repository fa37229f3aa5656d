import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { APIError, type DlqDto } from "../../../sdk/src/index.ts";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { Time } from "../ui/time.tsx";
import { Excerpt } from "./excerpt.tsx";
import { linesOf } from "./message-lines.ts";
import { lastMessagesQuery } from "./queries.ts";
import { kindOf, subjectOf } from "./subject.ts";

/** All that is known about a failure. */
export function Evidence({ entry }: { entry: DlqDto }) {
  const { what, sessionId, promptId, repo, branch } = subjectOf(entry);
  const { label, advice } = kindOf(entry);
  return (
    <div className="failed-evidence">
      <section aria-label="Error">
        <h2>Error</h2>
        <Excerpt label="Error" text={entry.last_error} />
        {advice !== "" && <p className="muted">{advice}</p>}
      </section>
      <dl className="facts">
        <Fact name="What failed">{what}</Fact>
        <Fact name="Why">{label}</Fact>
        <Fact name="Attempts">{entry.retry_count}</Fact>
        <Fact name="First failure">
          <Time at={entry.first_failed_at} />
        </Fact>
        <Fact name="Last failure">
          <Time at={entry.last_error_at} />
        </Fact>
        {repo !== undefined && <Fact name="Repository">{repo}</Fact>}
        {branch !== undefined && <Fact name="Branch">{branch}</Fact>}
        {sessionId !== undefined && (
          <Fact name="Session">
            <Link to="/s/$id" params={{ id: sessionId }}>
              Open the session
            </Link>
          </Fact>
        )}
        {entry.resolved_at !== null && (
          <Fact name={entry.status}>
            <Time at={entry.resolved_at} /> by {entry.resolved_by ?? "nobody known"}
          </Fact>
        )}
        {entry.resolution_notes !== null && <Fact name="Notes">{entry.resolution_notes}</Fact>}
      </dl>
      {promptId !== undefined && <LastMessages promptId={promptId} />}
      <details>
        <summary>Details, without secrets</summary>
        <Excerpt label="Details" text={JSON.stringify(entry.entity_data, null, 2)} />
      </details>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function LastMessages({ promptId }: { promptId: string }) {
  const { data, error, refetch } = useQuery(lastMessagesQuery(promptId));
  const lines = data?.flatMap((message) =>
    linesOf(message).map((line, part) => ({ ...line, id: `${message.id}-${part}` })),
  );
  return (
    <section aria-label="Last messages of the run">
      <h2>Last messages of the run</h2>
      {error instanceof APIError && error.status === 404 ? (
        <p className="muted">
          The prompt was deleted, or belongs to another user, whose messages only they read.
        </p>
      ) : error ? (
        <Problem title="The messages could not be read" error={error} onRetry={() => void refetch()} />
      ) : lines === undefined ? (
        <Loading what="the messages" />
      ) : lines.length === 0 ? (
        <p className="muted">The run ended before it said anything.</p>
      ) : (
        <ol className="failed-messages">
          {lines.map(({ id, who, text }) => (
            <li key={id}>
              <span className="failed-who">{who}</span>
              <Excerpt label={who} text={text} />
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
