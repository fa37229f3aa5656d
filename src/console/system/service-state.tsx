import { useQuery } from "@tanstack/react-query";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { detailQuery, readinessQuery } from "./queries.ts";
import { RefusedHosts } from "./refused-hosts.tsx";

/** How the service is doing; read again while the page is visible. */
export function ServiceState() {
  return (
    <>
      <Readiness />
      <Details />
      <RefusedHosts />
    </>
  );
}

function Readiness() {
  const { data: missing, error, refetch } = useQuery(readinessQuery);
  if (error)
    return <Problem title="The readiness could not be read" error={error} onRetry={() => void refetch()} />;
  if (!missing) return <Loading what="the readiness" />;
  const ready = missing.length === 0;
  return (
    <section className="card system-section" aria-label="Readiness">
      <h2>
        Readiness{" "}
        <span role="status" className="badge" data-tone={ready ? "good" : "bad"}>
          {ready ? "Ready" : "Not ready"}
        </span>
      </h2>
      {ready ? (
        <p className="muted">The database, the queue, all tasks and what agents need answer.</p>
      ) : (
        <>
          <ul className="system-reasons">
            {missing.map((reason) => (
              <li key={reason}>{reason}</li>
            ))}
          </ul>
          <p className="muted">
            <code>prompt-backend doctor</code>, on the machine in question, checks each of these and says how
            to mend it.
          </p>
        </>
      )}
    </section>
  );
}

function Details() {
  const { data, error, refetch } = useQuery(detailQuery);
  if (error)
    return <Problem title="The details could not be read" error={error} onRetry={() => void refetch()} />;
  if (!data) return <Loading what="the details" />;
  const { isolation } = data;
  return (
    <>
      <section className="card system-section" aria-label="Isolation of agents">
        <h2>
          Isolation of agents{" "}
          <span className="badge" data-tone={isolation.isolated ? "good" : "bad"}>
            {isolation.isolated ? "Isolated" : "Not isolated"}
          </span>
        </h2>
        <p>{isolation.detail}</p>
        <p className="muted">
          <code>prompt-backend doctor</code> checks each part of it on the machine that runs the agents, and
          names the next step for each that is weak.
        </p>
      </section>
      <section className="card system-section" aria-label="Service">
        <h2>Service</h2>
        <dl className="facts">
          {[
            ["Version", data.version],
            ["Agent", data.agent],
            ["Database", data.database],
            ["Queue", data.queue],
          ].map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </section>
    </>
  );
}
