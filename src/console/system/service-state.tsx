import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { SystemStatusOutput } from "../../../sdk/src/index.ts";
import { Facts } from "../ui/facts.tsx";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { duration } from "../ui/time.tsx";
import { statusQuery } from "./queries.ts";
import { RefusedHosts } from "./refused-hosts.tsx";
import { Workers } from "./workers.tsx";

/** How the service is doing; read again while the page is visible. */
export function ServiceState() {
  // While the service is away, it is asked again without an error: until then its last state is not the present one.
  const { data, error, failureReason, refetch } = useQuery(statusQuery);
  const problem = error ?? failureReason;
  if (!data)
    return error ? (
      <Problem title="The state could not be read" error={error} onRetry={() => void refetch()} />
    ) : (
      <Loading what="the state of the service" />
    );
  return (
    <>
      {problem !== null && (
        <Problem
          title="The state could not be read again; this is the last one"
          error={problem}
          onRetry={() => void refetch()}
        />
      )}
      <Readiness status={data} />
      <Queue status={data} />
      <Workers status={data} />
      <Isolation status={data} />
      <Service status={data} />
      <RefusedHosts hosts={data.refused_hosts} />
    </>
  );
}

type Part = { status: SystemStatusOutput };

/** Named by what is checked. */
const CHECKS: Readonly<Record<SystemStatusOutput["checks"][number]["name"], string>> = {
  database: "Database",
  tasks: "Background tasks",
  queue: "Queue",
  identity_provider: "Identity provider",
  isolation: "Isolation of agents",
};

function Readiness({ status: { ready, checks } }: Part) {
  return (
    <section className="card system-section" aria-label="Readiness">
      <h2>
        Readiness{" "}
        <span role="status" className="badge" data-tone={ready ? "good" : "bad"}>
          {ready ? "Ready" : "Not ready"}
        </span>
      </h2>
      <ul className="system-checks">
        {checks.map(({ name, ok, reason }) => (
          <li key={name}>
            <span className="badge" data-tone={ok ? "good" : "bad"}>
              {ok ? "OK" : "Missing"}
            </span>
            {CHECKS[name]}
            {reason !== null && <span className="system-reason">{reason}</span>}
          </li>
        ))}
      </ul>
      {!ready && <Doctor>checks each of these on the machine in question, and says how to mend it.</Doctor>}
    </section>
  );
}

function Queue({ status: { queue, sandboxes_held: held } }: Part) {
  const { waiting, running, delayed, oldest_waiting_seconds: oldest } = queue;
  return (
    <section className="card system-section" aria-label="Queue">
      <h2>Queue</h2>
      <Facts
        facts={[
          ["Waiting", waiting],
          ["Oldest waits for", oldest === null ? "–" : duration(oldest * 1_000)],
          ["Running", running],
          ["Tried again later", delayed],
          ["Sandboxes held", held],
        ]}
      />
    </section>
  );
}

function Isolation({ status: { here } }: Part) {
  const { isolated, detail } = here.isolation;
  return (
    <section className="card system-section" aria-label="Isolation of agents">
      <h2>
        Isolation of agents{" "}
        <span className="badge" data-tone={isolated ? "good" : "bad"}>
          {isolated ? "Isolated" : "Not isolated"}
        </span>
      </h2>
      <p>{detail}</p>
      <Doctor>
        checks each part of it on the machine that runs the agents, and names the next step for each that is
        weak.
      </Doctor>
    </section>
  );
}

function Service({ status: { here } }: Part) {
  const { sandboxes, agent, disk_free_bytes: free } = here;
  return (
    <section className="card system-section" aria-label="Service">
      <h2>Service</h2>
      <Facts
        facts={[
          ["Version", here.version],
          ["Up for", duration(here.uptime_seconds * 1_000)],
          ["Agent", agent.reason === null ? agent.name : `${agent.name}: ${agent.reason}`],
          ["Database", here.database],
          ["Queue", here.queue],
          ["Tasks here", here.tasks.join(", ") || "none"],
          ["Sandboxes", `${sandboxes.provider}, ${gigabytes(sandboxes.disk_limit_bytes)} each`],
          [
            "Their limit",
            sandboxes.disk_limit_enforced ? "enforced" : `watched only: ${sandboxes.disk_detail}`,
          ],
          ["Free disk", free === null ? "could not be read" : gigabytes(free)],
        ]}
      />
    </section>
  );
}

function Doctor({ children }: { children: ReactNode }) {
  return (
    <p className="muted">
      <code>prompt-backend doctor</code> {children}
    </p>
  );
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
