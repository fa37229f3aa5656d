import { Link } from "@tanstack/react-router";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import type { FailedSearch } from "./address.ts";

/** Why the list is empty, and what would stand in it. */
export function NoEntries(options: {
  status: NonNullable<FailedSearch["status"]>;
  filtered: boolean;
  onClear: () => void;
}) {
  const { status, filtered, onClear } = options;
  if (filtered)
    return (
      <Empty title="No dead letter matches">
        <Button onClick={onClear}>Clear the filter</Button>
      </Empty>
    );
  if (status === "Resolved" || status === "Abandoned")
    return (
      <Empty title={`No dead letter was ${status.toLowerCase()} yet`}>
        <p>What somebody has decided about is kept here, with who did it, when and why.</p>
      </Empty>
    );
  return (
    <Empty title="Nothing was given up">
      <p>
        A prompt whose run failed for good appears here, and a sandbox that could not be returned, with the
        evidence. You can then retry it, resolve it or abandon it. What is still being retried stands in the
        inbox.
      </p>
      <Link to="/">Go to the inbox</Link>
    </Empty>
  );
}
