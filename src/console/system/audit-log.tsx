import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import type { AuditFilter } from "./address.ts";
import { AuditEntry } from "./audit-entry.tsx";
import { AuditFilterForm } from "./audit-filter-form.tsx";
import { auditQuery } from "./queries.ts";

const route = getRouteApi("/system");

/** Who did what, the newest first. */
export function AuditLog() {
  const { show: _, ...filter } = route.useSearch();
  const navigate = route.useNavigate();
  const log = useInfiniteQuery(auditQuery(filter));
  const entries = log.data?.pages.flatMap(({ data }) => data);
  const apply = (wanted: AuditFilter) => void navigate({ search: { show: "audit", ...wanted } });
  return (
    <section className="system-audit" aria-label="Audit log">
      <AuditFilterForm
        key={JSON.stringify(filter)}
        filter={filter}
        onApply={(wanted) => {
          if (JSON.stringify(wanted) === JSON.stringify(filter)) void log.refetch();
          else apply(wanted);
        }}
      />
      <p className="muted">Reading this log is recorded in it.</p>
      {log.error !== null && (
        <Problem
          title="The audit log could not be read"
          error={log.error}
          onRetry={() => void (log.isFetchNextPageError ? log.fetchNextPage() : log.refetch())}
        />
      )}
      {entries === undefined ? (
        log.error === null && <Loading what="the audit log" />
      ) : entries.length === 0 ? (
        <Empty title="No entry matches">
          <Button onClick={() => apply({})}>Clear the filter</Button>
        </Empty>
      ) : (
        <ol className="system-entries">
          {entries.map((entry) => (
            <AuditEntry key={entry.seq} entry={entry} />
          ))}
        </ol>
      )}
      {log.hasNextPage && (
        <Button busy={log.isFetchingNextPage} onClick={() => void log.fetchNextPage()}>
          Show older entries
        </Button>
      )}
    </section>
  );
}
