import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { CommitDto, PromptDto } from "../../../sdk/src/index.ts";
import { Problem } from "../ui/problem.tsx";
import { Time } from "../ui/time.tsx";
import { visible } from "../ui/visible-text.ts";
import { shortCommit } from "./file-notes.ts";
import { promptTitle } from "./prompt-title.ts";
import { commitsQuery, promptsQuery } from "./queries.ts";
import { useReview } from "./review-context.ts";

/** The commits of the work, under the prompts that they were made for; each prompt shows its part of the diff. */
export function CommitsPanel() {
  const { sessionId, prompt: shown } = useReview();
  const { data: commits, error, refetch } = useQuery(commitsQuery(sessionId));
  const { data: prompts } = useQuery(promptsQuery(sessionId));
  if (error && !commits)
    return <Problem title="The commits could not be read" error={error} onRetry={() => void refetch()} />;
  if (!commits) return null;
  const groups = [...Map.groupBy(commits, (commit) => commit.prompt_id)];
  return (
    <section className="panel">
      <h2>Commits</h2>
      {commits.length === 0 && <p className="muted">The branch has no commits of its own.</p>}
      {shown !== undefined && (
        <Link className="button" to="/s/$id/review" params={{ id: sessionId }}>
          Show the work of all prompts
        </Link>
      )}
      {groups.map(([id, ofIt]) => (
        <Group
          key={id ?? "others"}
          commits={ofIt}
          prompt={prompts?.find((one) => one.id === id)}
          id={id}
          shown={shown !== undefined && shown === id}
        />
      ))}
    </section>
  );
}

function Group(options: {
  commits: readonly CommitDto[];
  prompt: PromptDto | undefined;
  id: string | null;
  shown: boolean;
}) {
  const { commits, prompt, id, shown } = options;
  const { sessionId } = useReview();
  return (
    <div className="commit-group">
      <p className="commit-prompt">
        {prompt ? visible(promptTitle(prompt)) : id === null ? "Commits of others" : "A prompt"}
      </p>
      {id !== null && (
        <Link
          to="/s/$id/review"
          params={{ id: sessionId }}
          search={{ prompt: id }}
          aria-current={shown || undefined}
        >
          {shown ? "Shown alone" : "Show only its changes"}
        </Link>
      )}
      <ul>
        {commits.map((commit) => (
          <li key={commit.id} title={visible(`${commit.subject}\n\n${commit.body}`.trim())}>
            <span className="commit-subject">{visible(commit.subject)}</span>
            <span className="muted">
              <code>{shortCommit(commit.id)}</code> {visible(commit.author.name)}, <Time at={commit.at} />
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
