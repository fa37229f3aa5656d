import type { DlqDto } from "../../../sdk/src/index.ts";
import { Button } from "../ui/button.tsx";
import { DECISIONS, type Decision } from "./decision.ts";

const ORDER = ["retry", "resolve", "abandon"] as const;

/** What can be done with several entries at once. */
export function SelectionBar(options: {
  /** Those that can be selected. */
  all: readonly DlqDto[];
  chosen: readonly DlqDto[];
  onChoose: (entries: readonly DlqDto[]) => void;
  onDecide: (decision: Decision) => void;
}) {
  const { all, chosen, onChoose, onDecide } = options;
  if (all.length === 0) return null;
  const everything = chosen.length === all.length;
  return (
    <div className="failed-selection" role="toolbar" aria-label="Selected dead letters">
      <label className="failed-check">
        <input
          type="checkbox"
          checked={everything}
          ref={(input) => {
            if (input) input.indeterminate = chosen.length > 0 && !everything;
          }}
          onChange={() => onChoose(everything ? [] : all)}
        />
        <span>Select all {all.length}</span>
      </label>
      <span role="status" className="muted">
        {chosen.length > 0 ? `${chosen.length} selected` : ""}
      </span>
      {chosen.length > 0 &&
        ORDER.map((decision) => (
          <Button
            key={decision}
            look={decision === "abandon" ? "danger" : "plain"}
            onClick={() => onDecide(decision)}
          >
            {DECISIONS[decision].verb} {chosen.length} …
          </Button>
        ))}
    </div>
  );
}
