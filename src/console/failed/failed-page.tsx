import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useId, useRef, useState } from "react";
import type { DlqDto } from "../../../sdk/src/index.ts";
import { useTitle } from "../notify/title.ts";
import { useKeys } from "../shell/keys.ts";
import { Button } from "../ui/button.tsx";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import type { FailedSearch } from "./address.ts";
import { DecideDialog } from "./decide-dialog.tsx";
import type { Decision } from "./decision.ts";
import { EntryRow } from "./entry-row.tsx";
import { NoEntries } from "./no-entries.tsx";
import { deadLettersQuery, useLiveDeadLetters } from "./queries.ts";
import { SelectionBar } from "./selection-bar.tsx";
import { matches } from "./subject.ts";
import { useRowFocus } from "./use-row-focus.ts";

const route = getRouteApi("/failed");
/** Rows that are rendered at once. */
const SHOWN = 100;
const TABS = [
  ["Pending", "Pending"],
  ["Resolved", "Resolved"],
  ["Abandoned", "Abandoned"],
  ["all", "All"],
] as const;

/** Work that failed for good, until somebody decides about it. */
export function FailedPage() {
  const search = route.useSearch();
  useTitle("Dead letters");
  const navigate = route.useNavigate();
  const { status = "Pending", q = "", entry: openId } = search;
  const { data, error, refetch } = useQuery(deadLettersQuery(status));
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [limit, setLimit] = useState(SHOWN);
  const [asked, setAsked] = useState<{ decision: Decision; entries: DlqDto[] }>();
  const list = useRef<HTMLUListElement>(null);
  const searchField = useRef<HTMLInputElement>(null);
  const searchId = useId();
  useLiveDeadLetters(data);

  const found = (data ?? []).filter((entry) => matches(entry, q));
  const shown = found.slice(0, limit);
  const chosen = found.filter(({ id, status }) => selected.has(id) && status === "Pending");
  const rows = useRowFocus(list, shown);
  const change = (more: Partial<FailedSearch>) =>
    void navigate({ search: (before) => ({ ...before, ...more }), replace: true });
  const toggle = (id: string) =>
    setSelected((before) => {
      const after = new Set(before);
      if (!after.delete(id)) after.add(id);
      return after;
    });
  const ask = (decision: Decision) => {
    const current = shown.find(({ id }) => id === rows.current());
    const entries = chosen.length > 0 ? chosen : current?.status === "Pending" ? [current] : [];
    if (entries.length > 0) setAsked({ decision, entries });
  };
  useKeys({
    j: () => rows.move(1),
    k: () => rows.move(-1),
    x: () => {
      const id = rows.current();
      if (id !== undefined) toggle(id);
    },
    r: () => ask("retry"),
    e: () => ask("resolve"),
    "/": () => searchField.current?.focus(),
  });

  return (
    <div className="page failed-page">
      <h1>Dead letters</h1>
      <div className="failed-filter">
        <nav className="tabs" aria-label="Status">
          {TABS.map(([value, label]) => (
            <Link key={value} to="/failed" search={{ status: value, ...(q !== "" && { q }) }}>
              {label}
            </Link>
          ))}
        </nav>
        <label className="visually-hidden" htmlFor={searchId}>
          Filter by error, repository, branch or id
        </label>
        <input
          ref={searchField}
          id={searchId}
          type="search"
          className="input failed-search"
          placeholder="Error, repository, branch, id"
          value={q}
          onChange={(event) => change({ q: event.target.value || undefined })}
        />
      </div>
      <SelectionBar
        all={found.filter((entry) => entry.status === "Pending")}
        chosen={chosen}
        onChoose={(entries) => setSelected(new Set(entries.map(({ id }) => id)))}
        onDecide={(decision) => setAsked({ decision, entries: chosen })}
      />
      {error ? (
        <Problem title="The dead letters could not be read" error={error} onRetry={() => void refetch()} />
      ) : data === undefined ? (
        <Loading what="the dead letters" />
      ) : found.length === 0 ? (
        <NoEntries status={status} filtered={q !== ""} onClear={() => change({ q: undefined })} />
      ) : (
        <ul ref={list} className="failed-list" aria-label="Dead letters">
          {shown.map((entry) => (
            <EntryRow
              key={entry.id}
              entry={entry}
              open={entry.id === openId}
              selected={selected.has(entry.id)}
              onOpen={() => change({ entry: entry.id === openId ? undefined : entry.id })}
              onSelect={() => {
                toggle(entry.id);
                rows.focus(entry.id);
              }}
              onDecide={(decision) => setAsked({ decision, entries: [entry] })}
            />
          ))}
        </ul>
      )}
      {found.length > limit && (
        <Button onClick={() => setLimit(limit + SHOWN)}>Show more of {found.length}</Button>
      )}
      {asked && (
        <DecideDialog
          decision={asked.decision}
          entries={asked.entries}
          onClose={() => setAsked(undefined)}
          onDone={() => {
            setAsked(undefined);
            setSelected(new Set());
            rows.keepPlace();
          }}
        />
      )}
    </div>
  );
}
