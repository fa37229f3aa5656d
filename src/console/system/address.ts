/** What the page's address says: the section, and what of the audit log is shown. */
export interface SystemSearch {
  /** Default: the state of the service. */
  show?: "state" | "audit";
  actor?: string;
  action?: string;
  /** ISO 8601. */
  from?: string;
  /** ISO 8601. */
  to?: string;
}

export type AuditFilter = Omit<SystemSearch, "show">;

const TEXTS = ["actor", "action"] as const;
const TIMES = ["from", "to"] as const;

/** What cannot be a filter is left out: addresses are typed by hand, too. */
export function readSystemSearch(search: Record<string, unknown>): SystemSearch {
  const found: SystemSearch = { show: search["show"] === "audit" ? "audit" : "state" };
  for (const name of TEXTS) {
    const value = search[name];
    if (typeof value === "string" && value !== "") found[name] = value;
  }
  for (const name of TIMES) {
    const value = search[name];
    if (typeof value === "string" && Number.isFinite(Date.parse(value))) found[name] = value;
  }
  return found;
}
