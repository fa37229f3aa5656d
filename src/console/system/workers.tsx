import type { SystemStatusOutput } from "../../../sdk/src/index.ts";
import { Time } from "../ui/time.tsx";
import { waitText } from "../ui/waiting.ts";
import { OwnSession } from "./own-session.tsx";

/** The processes that run tasks, with the prompts that they run; and the prompts that no process runs. */
export function Workers({ status: { processes, runs } }: { status: SystemStatusOutput }) {
  const known = new Set(processes.map(({ process }) => process));
  const orphans = runs.filter(({ process }) => process === null || !known.has(process));
  return (
    <section className="card system-section" aria-label="Workers">
      <h2>Workers</h2>
      {processes.length === 0 && (
        <p>
          No process runs tasks, so that prompts wait. Start one: <code>prompt-backend bg-tasks</code>
        </p>
      )}
      <ul className="system-workers">
        {processes.map(({ process, host, tasks, alive, last_seen_at: at }) => (
          <li key={process}>
            <div className="system-line">
              <span className="badge" data-tone={alive ? "good" : "bad"}>
                {alive ? "Alive" : "Gone"}
              </span>
              <span className="mono" title={`Process ${process}`}>
                {process.slice(0, 8)}
              </span>
              <span className="muted">
                on <span title={host}>{host.slice(0, 8)}</span>, seen <Time at={at} />
              </span>
            </div>
            <p className="muted">{tasks.join(", ")}</p>
            <Runs runs={runs.filter((run) => run.process === process)} />
          </li>
        ))}
        {orphans.length > 0 && (
          <li>
            <div className="system-line">
              <span className="badge" data-tone="warn">
                Between processes
              </span>
              <span className="muted">taken over once their lease ends</span>
            </div>
            <Runs runs={orphans} />
          </li>
        )}
      </ul>
    </section>
  );
}

function Runs({ runs }: { runs: SystemStatusOutput["runs"] }) {
  if (runs.length === 0) return null;
  return (
    <ul className="system-runs">
      {runs.map(({ prompt_id: id, session_id: sessionId, attempt, started_at: at, waiting_for: waiting }) => (
        <li key={id} className="system-line">
          <OwnSession id={sessionId} />
          <span className="muted">
            attempt {attempt}
            {at !== null && (
              <>
                , started <Time at={at} />
              </>
            )}
            {waiting !== null && `, waits for ${waitText(waiting)}`}
          </span>
        </li>
      ))}
    </ul>
  );
}
