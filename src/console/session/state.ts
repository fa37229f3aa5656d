import type { SessionDto } from "../../../sdk/src/index.ts";

/** How a session stands, in a word and a colour. */
export function stateOf(session: SessionDto): { word: string; tone: string } {
  const { uiStatus, inboxStatus, waitingFor, cancellationStatus } = session;
  if (uiStatus === "Archived") return { word: "Archived", tone: "" };
  if (cancellationStatus === "Requested") return { word: "Cancelling", tone: "warn" };
  if (waitingFor !== null) return { word: `Waiting for ${waitingFor}`, tone: "warn" };
  if (inboxStatus === "Pending") return { word: "Queued", tone: "info" };
  if (inboxStatus === "Processing") return { word: "Running", tone: "info" };
  if (inboxStatus === "Failed") return { word: "Failed", tone: "bad" };
  if (inboxStatus === "Cancelled") return { word: "Cancelled", tone: "warn" };
  return { word: "Ready for review", tone: "good" };
}
