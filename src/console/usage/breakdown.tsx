import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { UsageDto } from "../../../sdk/src/index.ts";
import { OwnSession } from "../system/own-session.tsx";
import { Button } from "../ui/button.tsx";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { repoName } from "../ui/repo-name.ts";
import { visible } from "../ui/visible-text.ts";
import { type Days, GROUPS, type Group, type UsageSearch } from "./address.ts";
import { CsvButton } from "./csv-button.tsx";
import { count, figuresText, PLOTTED } from "./figures.ts";
import { groupsQuery } from "./queries.ts";

const NAMES: Readonly<Record<Group, string>> = {
  ...{ repo: "Repository", model: "Model", agent: "Agent", session: "Session", user: "User" },
};
/** How many are shown at first, and more each time. */
const STEP = 20;

/** Who and what used it: a bar each, the longest first. */
export function Breakdown({ search, days }: { search: UsageSearch; days: Days }) {
  const { by, measure, scope } = search;
  const wanted = { ...days, group_by: by, scope };
  const what = `by ${NAMES[by].toLowerCase()}`;
  const { data, error, refetch } = useQuery(groupsQuery(wanted));
  return (
    <section className="card usage-section usage-by" aria-label="By what">
      <div className="usage-line">
        <nav className="tabs" aria-label="By what">
          {GROUPS.filter((one) => one !== "user" || scope === "all").map((one) => (
            <Link key={one} to="/u" search={{ ...search, by: one }}>
              {NAMES[one]}
            </Link>
          ))}
        </nav>
        <CsvButton wanted={wanted} what={what} />
      </div>
      {error && (
        <Problem title={`The usage ${what} could not be read`} error={error} onRetry={() => void refetch()} />
      )}
      {data === undefined && !error && <Loading what="the usage" />}
      {data && (
        <>
          {data.isCut && (
            <p>
              These are more than this page adds up: it shows the first {count(data.groups.length)} in the
              order of their names. The CSV has all of them.
            </p>
          )}
          <Bars key={by} by={by} measure={measure} rows={data.groups} />
        </>
      )}
    </section>
  );
}

function Bars({ by, measure, rows }: Pick<UsageSearch, "by" | "measure"> & { rows: readonly UsageDto[] }) {
  const [shown, setShown] = useState(STEP);
  const { of, text } = PLOTTED[measure];
  const sorted = [...rows].sort((a, b) => of(b) - of(a));
  const most = Math.max(0, ...rows.map(of));
  return (
    <>
      <ol className="usage-groups" aria-label={`By ${NAMES[by].toLowerCase()}`}>
        {sorted.slice(0, shown).map((row) => (
          <li key={row.key}>
            <div className="usage-line">
              <span className="usage-name">
                <Name by={by} name={row.key} />
              </span>
              <strong>{text(row)}</strong>
            </div>
            <div className="usage-meter" aria-hidden="true">
              <span className="usage-spent" style={{ width: `${most > 0 ? (of(row) / most) * 100 : 0}%` }} />
            </div>
            <p className="muted">{figuresText(row)}</p>
          </li>
        ))}
      </ol>
      {sorted.length > shown && (
        <Button onClick={() => setShown(shown + STEP)}>Show more of {count(sorted.length)}</Button>
      )}
    </>
  );
}

/** Agents name models as they like. */
function Name({ by, name }: { by: Group; name: string }) {
  if (by === "session") return <OwnSession id={name} />;
  if (by === "repo") return <span title={name}>{visible(repoName(name))}</span>;
  return by === "agent" && name === "(titles)" ? "Titles of sessions" : visible(name);
}
