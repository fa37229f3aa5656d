import { getRouteApi, Link } from "@tanstack/react-router";
import { useTitle } from "../notify/title.ts";
import { useIsAdmin } from "../sign-in/use-is-admin.ts";
import { Empty } from "../ui/empty.tsx";
import { AuditLog } from "./audit-log.tsx";
import { ServiceState } from "./service-state.tsx";

const route = getRouteApi("/system");
const TABS = [
  ["state", "State"],
  ["audit", "Audit log"],
] as const;

/** The service as those see it who look after it. */
export function SystemPage() {
  const { show } = route.useSearch();
  useTitle("System");
  if (!useIsAdmin())
    return (
      <div className="page">
        <h1>System</h1>
        <Empty title="System is for admins">
          <p>
            It shows the state of the whole service and who did what in it. Ask whoever runs this service for
            the role <code>admin</code>, or for what you want to know.
          </p>
          <Link to="/">Go to the inbox</Link>
        </Empty>
      </div>
    );
  return (
    <div className="page system-page">
      <h1>System</h1>
      <nav className="tabs" aria-label="Sections of System">
        {TABS.map(([value, label]) => (
          <Link key={label} to="/system" search={{ show: value }}>
            {label}
          </Link>
        ))}
      </nav>
      {show === "audit" ? <AuditLog /> : <ServiceState />}
    </div>
  );
}
