import { useQuery } from "@tanstack/react-query";
import type { EgressRequestDto, SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { describe } from "../ui/problem.tsx";
import { Time } from "../ui/time.tsx";
import { AllowHost, targetOf, whyNever } from "./allow-host.tsx";

/** Most requests that are looked at, and hosts that are shown. */
const READ = 500;
const SHOWN = 30;

/** The hosts that a session's agents were refused; those that a project may allow, with a link that does. */
export function RefusedHosts({ session, runs }: { session: SessionDto; runs: number }) {
  const { data, error } = useQuery({
    queryKey: ["session", session.id, "egress", session.promptsVersion, session.updatedAt, runs],
    queryFn: ({ signal }) => client.sessions.listEgress(session.id, { limit: READ }, { signal }),
    select: (page) => refused(page.data),
  });
  if (error) return describe(error).text;
  if (!data) return null;
  if (data.length === 0) return "None was refused.";
  return (
    <ul className="refused-hosts">
      {data.slice(0, SHOWN).map((one) => {
        const target = targetOf(one);
        const why = whyNot(one);
        return (
          <li key={target}>
            <code>{target}</code> <Time at={one.last_at} className="muted" />{" "}
            {why === undefined ? (
              <AllowHost repo={session.repo} target={target} />
            ) : (
              <span className="muted">{why}</span>
            )}
          </li>
        );
      })}
      {data.length > SHOWN && <li className="muted">and {data.length - SHOWN} more</li>}
    </ul>
  );
}

/** The last refusal of each host, the newest first; without those that a later run was allowed. */
function refused(requests: readonly EgressRequestDto[]): EgressRequestDto[] {
  const newest = new Map<string, EgressRequestDto>();
  for (const one of requests) {
    const before = newest.get(targetOf(one));
    if (!before || before.last_at <= one.last_at) newest.set(targetOf(one), one);
  }
  return [...newest.values()]
    .filter(({ decision }) => decision === "refused")
    .sort((a, b) => b.last_at.localeCompare(a.last_at));
}

/** Why a project cannot allow it. Undefined: it can. */
function whyNot(request: EgressRequestDto): string | undefined {
  const { rule } = request;
  if (rule === "EGRESS=deny") return "This service lets agents reach nothing (EGRESS=deny).";
  if (rule === "private address") return "Private: only the operator can allow it.";
  return whyNever(request) ?? (rule === "not in EGRESS_ALLOW" ? undefined : `Refused: ${rule}.`);
}
