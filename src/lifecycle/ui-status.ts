import type { INBOX_STATUSES, SESSION_STATUSES } from "../db/columns.ts";

export const UI_STATUSES = [
  "Pending",
  "InProgress",
  "NeedsReview",
  "NeedsReviewIpReturned",
  "Archived",
] as const;
export type UiStatus = (typeof UI_STATUSES)[number];

/** What people see. Derived, never stored. */
export function uiStatusOf(session: {
  sessionStatus: (typeof SESSION_STATUSES)[number];
  inboxStatus: (typeof INBOX_STATUSES)[number];
  sbxConfig: object | null;
}): UiStatus {
  if (session.sessionStatus === "Completed") return "Archived";
  if (session.inboxStatus === "Pending") return "Pending";
  if (session.inboxStatus === "Processing") return "InProgress";
  return session.sbxConfig ? "NeedsReview" : "NeedsReviewIpReturned";
}
