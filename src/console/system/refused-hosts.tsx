import { useQuery } from "@tanstack/react-query";
import { Button } from "../ui/button.tsx";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { Time } from "../ui/time.tsx";
import { PromptSession } from "./prompt-session.tsx";
import { refusedHostsQuery } from "./queries.ts";

/** The last hosts that agents wanted to reach and were not let to. */
export function RefusedHosts() {
  const { data, error, isFetching, refetch } = useQuery(refusedHostsQuery);
  return (
    <section className="card system-section" aria-label="Refused hosts">
      <div className="system-title">
        <h2>Refused hosts</h2>
        <Button look="quiet" busy={isFetching} onClick={() => void refetch()}>
          Read again
        </Button>
      </div>
      {error ? (
        <Problem title="The refused hosts could not be read" error={error} onRetry={() => void refetch()} />
      ) : !data ? (
        <Loading what="the refused hosts" />
      ) : data.length === 0 ? (
        <p className="muted">No agent was refused a host. One that is appears here, with its session.</p>
      ) : (
        <>
          <ul className="system-hosts">
            {data.map(({ seq, at, target, detail }) => (
              <li key={seq}>
                <span className="mono">{target.replace(/^host:/, "")}</span>
                <span className="muted">{typeof detail["rule"] === "string" ? detail["rule"] : ""}</span>
                <Time at={at} className="muted" />
                <PromptSession promptId={detail["prompt"]} />
              </li>
            ))}
          </ul>
          <p className="muted">EGRESS_ALLOW names the hosts that agents may reach.</p>
        </>
      )}
    </section>
  );
}
