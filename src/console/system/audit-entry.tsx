import { Link } from "@tanstack/react-router";
import type { AuditEntryDto } from "../../../sdk/src/index.ts";
import { Time } from "../ui/time.tsx";

/** One entry; its detail and its hash when it is opened. */
export function AuditEntry({ entry }: { entry: AuditEntryDto }) {
  const { seq, at, actor, action, target, detail, hash } = entry;
  const [kind, ...rest] = target.split(":");
  const id = rest.join(":");
  return (
    <li>
      <details>
        <summary>
          <span className="mono">{action}</span>
          <span>{actor}</span>
          <span className="muted mono system-target">{target}</span>
          <Time at={at} className="muted" />
        </summary>
        <div className="system-detail">
          {kind === "session" && (
            <Link to="/s/$id" params={{ id }}>
              Open the session
            </Link>
          )}
          {kind === "dead_letter" && (
            <Link to="/failed" search={{ status: "all", entry: id }}>
              Open the dead letter
            </Link>
          )}
          <pre>{JSON.stringify(detail, null, 2)}</pre>
          <p className="muted mono">
            Entry {seq}, hash {hash}
          </p>
        </div>
      </details>
    </li>
  );
}
