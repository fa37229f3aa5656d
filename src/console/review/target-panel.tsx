import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { DiffOutput, PromptDto, SessionDto, SyncSessionOutput } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { Button } from "../ui/button.tsx";
import { newKey } from "../ui/new-key.ts";
import { complain, say } from "../ui/notify.ts";
import { visible } from "../ui/visible-text.ts";
import { promptsQuery, reviewKey } from "./queries.ts";
import { useReview } from "./review-context.ts";

/** How many conflicts are listed. */
const LISTED = 20;

/** How the work stands to its target branch, and what brings them together. */
export function TargetPanel({ session, diff }: { session: SessionDto; diff: DiffOutput }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { data: prompts } = useQuery(promptsQuery(session.id));
  const [busy, setBusy] = useState<"sync" | "agent">();
  const [strategy, setStrategy] = useState<"merge" | "rebase">("merge");
  const [refused, setRefused] = useState<SyncSessionOutput>();
  // Asked again after a lost answer, the agent is asked once.
  const key = useMemo(() => (refused ? newKey() : undefined), [refused]);
  const last = prompts?.findLast(({ kind }) => kind !== "agent");
  const target = visible(session.targetBranch);
  const { compared } = useReview();
  // Where the work of one prompt began tells nothing of the target branch.
  const moved = compared.whole && diff.base !== diff.target_head;

  const sync = async () => {
    setBusy("sync");
    try {
      const outcome = await client.sessions.sync(session.id, { strategy });
      setRefused(outcome.status === "conflicts" ? outcome : undefined);
      if (outcome.status === "up_to_date") await say(outcome.message);
      await queries.invalidateQueries({ queryKey: reviewKey(session.id) });
    } catch (error) {
      await complain("The branch was not updated", error);
    }
    setBusy(undefined);
  };
  const ask = async (text: string) => {
    setBusy("agent");
    try {
      const data = [{ content: text, type: "text" as const }];
      await client.prompts.create({ session_id: session.id, data }, { idempotencyKey: key });
      await navigate({ to: "/s/$id", params: { id: session.id } });
    } catch (error) {
      await complain("The agent was not asked", error);
      setBusy(undefined);
    }
  };

  return (
    <section className="panel" aria-label="Target branch">
      <h2>
        Into <code>{target}</code>
      </h2>
      <p>
        {diff.mergeable === null ? (
          <span className="badge">Not known whether git can merge it</span>
        ) : diff.mergeable ? (
          <span className="badge" data-tone="good">
            No conflicts
          </span>
        ) : (
          <span className="badge" data-tone="bad">
            Conflicts in {diff.conflicts.length === 1 ? "1 file" : `${diff.conflicts.length} files`}
          </span>
        )}
      </p>
      {!diff.mergeable && <Conflicts paths={diff.conflicts} />}
      {moved && (
        <p className="muted">
          <code>{target}</code> has commits that the branch does not have.
        </p>
      )}
      <Progress prompt={last} />
      {refused && (
        <div className="notice" role="alert">
          <p>{refused.message.split(":")[0]}: both sides have changed the same lines.</p>
          {refused.suggested_prompt !== null && (
            <Button
              look="primary"
              busy={busy === "agent"}
              onClick={() => void ask(refused.suggested_prompt ?? "")}
            >
              Have the agent resolve it
            </Button>
          )}
        </div>
      )}
      <div className="panel-actions">
        <select
          className="input"
          aria-label="How to update the branch"
          value={strategy}
          onChange={({ target: { value } }) => setStrategy(value === "rebase" ? "rebase" : "merge")}
        >
          <option value="merge">Merge</option>
          <option value="rebase">Rebase</option>
        </select>
        <Button busy={busy === "sync"} onClick={() => void sync()}>
          Sync with {target}
        </Button>
      </div>
    </section>
  );
}

function Conflicts({ paths }: { paths: readonly string[] }) {
  if (paths.length === 0) return null;
  return (
    <ul className="paths">
      {paths.slice(0, LISTED).map((path) => (
        <li key={path} className="mono">
          {visible(path)}
        </li>
      ))}
      {paths.length > LISTED && <li className="muted">and {paths.length - LISTED} more</li>}
    </ul>
  );
}

/** What has become of the last sync or push. */
function Progress({ prompt }: { prompt: PromptDto | undefined }) {
  if (!prompt) return null;
  const what = prompt.kind === "sync" ? "Sync" : "Push";
  const words: Record<PromptDto["status"], string> = {
    Queued: `${what} waits`,
    Running: `${what} runs …`,
    Completed: `${what} done`,
    Failed: `${what} failed`,
    Cancelled: `${what} cancelled`,
  };
  const reason = prompt.error ?? prompt.waiting_reason;
  return (
    <div role="status">
      <span
        className="badge"
        data-tone={prompt.status === "Failed" ? "bad" : prompt.status === "Completed" ? "good" : "info"}
      >
        {words[prompt.status]}
      </span>
      {reason !== null && <p className="muted">{visible(reason)}</p>}
    </div>
  );
}
