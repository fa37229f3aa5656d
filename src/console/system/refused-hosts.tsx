import type { SystemStatusOutput } from "../../../sdk/src/index.ts";
import { useSession } from "../live/live.tsx";
import { AllowHost, targetOf, whyNever } from "../projects/allow-host.tsx";
import { Time } from "../ui/time.tsx";
import { OwnSession } from "./own-session.tsx";

/** The last hosts that agents wanted to reach and were not let to. */
export function RefusedHosts({ hosts }: { hosts: SystemStatusOutput["refused_hosts"] }) {
  return (
    <section className="card system-section" aria-label="Refused hosts">
      <h2>Refused hosts</h2>
      {hosts.length === 0 ? (
        <p className="muted">No agent was refused a host. One that is appears here, with its session.</p>
      ) : (
        <>
          <ul className="system-hosts">
            {hosts.map(({ host, port, count, last_at: at, session_id: sessionId }) => (
              <li key={`${host}:${port}`}>
                <span className="mono">
                  {host}:{port}
                </span>
                <span className="muted">
                  {count === 1 ? "once" : `${count} times`}, last <Time at={at} /> by
                </span>
                <OwnSession id={sessionId} />
                <AllowOwn sessionId={sessionId} host={host} port={port} />
              </li>
            ))}
          </ul>
          <p className="muted">
            EGRESS_ALLOW names the hosts that agents may reach, and a project those of its repository besides.
          </p>
        </>
      )}
    </section>
  );
}

/** Of the reader's own sessions, whose projects are theirs. */
function AllowOwn({ sessionId, ...target }: { sessionId: string; host: string; port: number }) {
  const session = useSession(sessionId);
  if (!session || whyNever(target) !== undefined) return null;
  return <AllowHost repo={session.repo} target={targetOf(target)} />;
}
