import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import type { UsageTotals } from "../../../sdk/src/index.ts";
import { useTitle } from "../notify/title.ts";
import { useIsAdmin } from "../sign-in/use-is-admin.ts";
import { Empty } from "../ui/empty.tsx";
import { Facts } from "../ui/facts.tsx";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { type Days, daysOf, MEASURES, type UsageSearch } from "./address.ts";
import { Breakdown } from "./breakdown.tsx";
import { Budgets } from "./budgets.tsx";
import { CsvButton } from "./csv-button.tsx";
import { DayPlot, DayTable } from "./day-plot.tsx";
import { costText, count, counted, PLOTTED } from "./figures.ts";
import { Period } from "./period.tsx";
import { daysQuery, everyDay } from "./queries.ts";

const route = getRouteApi("/u");

/** What models have cost, and what they may still cost. */
export function UsagePage() {
  const search = route.useSearch();
  const isAdmin = useIsAdmin();
  const days = daysOf(search, Date.now());
  useTitle("Usage");
  return (
    <div className="page usage-page">
      <h1>Usage</h1>
      <Budgets />
      <Period search={search} days={days} isAdmin={isAdmin} />
      {search.scope === "all" && !isAdmin ? (
        <Empty title="What all users have used is for admins">
          <Link to="/u" search={{ ...search, scope: "own", by: "repo" }}>
            Show mine
          </Link>
        </Empty>
      ) : (
        <Used search={search} days={days} />
      )}
    </div>
  );
}

function Used({ search, days }: { search: UsageSearch; days: Days }) {
  const { measure, scope } = search;
  const period = { ...days, scope };
  // While the service is away, it is asked again without an error: until then the last figures are shown with the reason.
  const { data, error, failureReason, refetch } = useQuery(daysQuery(period));
  const problem = error ?? failureReason;
  const retry = () => void refetch();
  if (!data)
    return problem ? (
      <Problem title="The usage could not be read" error={problem} onRetry={retry} />
    ) : (
      <Loading what="the usage" />
    );
  const byDay = everyDay(data.usage, days);
  return (
    <>
      {problem !== null && (
        <Problem
          title="The usage could not be read again; this is what it was"
          error={problem}
          onRetry={retry}
        />
      )}
      {data.total.calls === 0 ? (
        <Nothing scope={scope} />
      ) : (
        <>
          <Totals total={data.total} />
          <section className="card usage-section" aria-label="By day">
            <div className="usage-line">
              <h2>By day</h2>
              <nav className="tabs" aria-label="What is plotted">
                {MEASURES.map((one) => (
                  <Link key={one} to="/u" search={{ ...search, measure: one }}>
                    {PLOTTED[one].name}
                  </Link>
                ))}
              </nav>
              <CsvButton wanted={{ ...period, group_by: "day" }} what="by day" />
            </div>
            <DayPlot days={byDay} measure={measure} />
            <DayTable days={byDay} />
            <p className="muted">Days are those of UTC.</p>
          </section>
          <Breakdown search={search} days={days} />
        </>
      )}
    </>
  );
}

function Totals({ total }: { total: UsageTotals }) {
  const { calls, estimated_calls: estimated } = total;
  const facts = [
    ["Cost", costText(total)],
    ["Runs", count(total.runs)],
    ["Model calls", count(calls)],
    ["Answered", count(total.turns)],
    ["Tokens in", count(total.input_tokens)],
    ["Of these from a cache", count(total.cache_read_tokens)],
    ["Of these into a cache", count(total.cache_write_tokens)],
    ["Tokens out", count(total.output_tokens)],
  ] as const;
  return (
    <section className="card usage-section" aria-label="Together">
      <h2>Together</h2>
      <Facts facts={facts} />
      {estimated > 0 && (
        <p className="muted">
          ≈ Something had to be estimated of {counted(estimated, "call")}: the answer broke off, or who made
          the call died.
        </p>
      )}
    </section>
  );
}

function Nothing({ scope }: Pick<UsageSearch, "scope">) {
  return (
    <Empty title="No model was called in these days">
      <p>
        {scope === "own" ? "What your agents use" : "What agents use"} is counted where their calls pass, and
        shown here: what it cost, by day, repository, model, agent and session.
      </p>
      <Link to="/new">Start a session</Link>
    </Empty>
  );
}
