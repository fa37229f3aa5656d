import type { SQL } from "drizzle-orm";
import { type INBOX_STATUSES, type SESSION_STATUSES, uiStatusOfColumns } from "../db/columns.ts";
import { session } from "../db/tables.ts";

export const UI_STATUSES = [
  "Pending",
  "InProgress",
  "NeedsReview",
  "NeedsReviewIpReturned",
  "Archived",
] as const;
export type UiStatus = (typeof UI_STATUSES)[number];

/** The status that users see. It is derived, never stored. */
export function uiStatusOf(row: {
  sessionStatus: (typeof SESSION_STATUSES)[number];
  inboxStatus: (typeof INBOX_STATUSES)[number];
  sbxConfig: object | null;
}): UiStatus {
  if (row.sessionStatus === "Completed") return "Archived";
  if (row.inboxStatus === "Pending") return "Pending";
  if (row.inboxStatus === "Processing") return "InProgress";
  return row.sbxConfig ? "NeedsReview" : "NeedsReviewIpReturned";
}

/** The same in SQL, for filters; a test compares the two. */
export const uiStatusSql = uiStatusOfColumns(session) as SQL<UiStatus>;
