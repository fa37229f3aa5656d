import type { DlqStatus } from "../../../sdk/src/index.ts";

const STATUSES = ["Pending", "Resolved", "Abandoned"] as const satisfies readonly DlqStatus[];

/** What the page's address says: which entries are shown, and which one is open. */
export interface FailedSearch {
  /** Default: the pending ones. */
  status?: DlqStatus | "all";
  /** Part of an error, a repository, a branch or an id. */
  q?: string;
  /** The id of the open entry. */
  entry?: string;
}

export const readFailedSearch = (search: Record<string, unknown>): FailedSearch => {
  const { status, q, entry } = search;
  return {
    status: [...STATUSES, "all" as const].find((one) => one === status) ?? "Pending",
    ...(typeof q === "string" && q !== "" && { q }),
    ...(typeof entry === "string" && { entry }),
  };
};
