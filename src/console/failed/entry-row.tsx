import type { DlqDto } from "../../../sdk/src/index.ts";
import { useSession } from "../live/live.tsx";
import { Button } from "../ui/button.tsx";
import { Time } from "../ui/time.tsx";
import { DECISIONS, type Decision } from "./decision.ts";
import { Evidence } from "./evidence.tsx";
import { kindOf, subjectOf } from "./subject.ts";

const ORDER = ["retry", "resolve", "abandon"] as const;
const TONES = { Pending: "bad", Resolved: "good", Abandoned: "warn" } as const;

/** A dead letter in the list; open, with its evidence and what can be done. */
export function EntryRow(options: {
  entry: DlqDto;
  open: boolean;
  selected: boolean;
  onOpen: () => void;
  onSelect: () => void;
  onDecide: (decision: Decision) => void;
}) {
  const { entry, open, selected, onOpen, onSelect, onDecide } = options;
  const { what, sessionId, repo } = subjectOf(entry);
  const title = useSession(sessionId ?? "")?.title ?? repo ?? entry.entity_id;
  const pending = entry.status === "Pending";
  return (
    <li className="failed-row card" data-selected={selected || undefined}>
      <div className="failed-head">
        {pending && (
          <label className="failed-check">
            <input type="checkbox" checked={selected} onChange={onSelect} />
            <span className="visually-hidden">Select “{title}”</span>
          </label>
        )}
        <button
          type="button"
          className="failed-open"
          data-entry={entry.id}
          aria-expanded={open}
          onClick={onOpen}
        >
          <span className="failed-title">{title}</span>
          <span className="failed-error">{entry.last_error}</span>
          <span className="failed-meta">
            {!pending && (
              <span className="badge" data-tone={TONES[entry.status]}>
                {entry.status}
              </span>
            )}
            <span>{what}</span>
            <span>{kindOf(entry).label}</span>
            <span>{entry.retry_count === 1 ? "1 attempt" : `${entry.retry_count} attempts`}</span>
            <Time at={entry.last_error_at} />
          </span>
        </button>
      </div>
      {open && <Evidence entry={entry} />}
      {open && pending && (
        <div className="failed-actions">
          {ORDER.map((decision) => (
            <Button
              key={decision}
              look={decision === "retry" ? "primary" : decision === "abandon" ? "danger" : "plain"}
              onClick={() => onDecide(decision)}
            >
              {DECISIONS[decision].verb} …
            </Button>
          ))}
        </div>
      )}
    </li>
  );
}
