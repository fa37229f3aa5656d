import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo, useRef } from "react";
import { useSessions } from "../live/live.tsx";
import { useTitle } from "../notify/title.ts";
import { useKeys } from "../shell/keys.ts";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { toPage } from "../ui/take-focus.ts";
import { FirstRun } from "./first-run.tsx";
import { GROUP_TITLES, inboxOf, SHOWS, type Show } from "./groups.ts";
import { List } from "./list.tsx";

/** Every session, by what it wants from its user. */
export function InboxPage() {
  const { sessions, loaded, complete, failure } = useSessions();
  const search = useSearch({ strict: false });
  const navigate = useNavigate();
  const q = search.q ?? "";
  const show = SHOWS.find((one) => one === search.show) ?? "open";
  const field = useRef<HTMLInputElement>(null);
  const { lines, counts } = useMemo(() => inboxOf(sessions.values(), show, q), [sessions, show, q]);
  const setSearch = (change: { show?: Show; q?: string }) => {
    const next = { show, q, ...change };
    void navigate({
      to: "/",
      search: { ...(next.show !== "open" && { show: next.show }), ...(next.q !== "" && { q: next.q }) },
      replace: change.show === undefined,
    });
  };
  useKeys({ "/": () => field.current?.focus() });
  useTitle("Inbox");

  return (
    <div className="inbox">
      <div className="inbox-top">
        <h1 className="visually-hidden">Inbox</h1>
        <nav className="tabs inbox-groups" aria-label="Sessions by state">
          {SHOWS.map((one) => (
            <Link
              key={one}
              to="/"
              search={{ ...(one !== "open" && { show: one }), ...(q !== "" && { q }) }}
              activeOptions={{ exact: true, includeSearch: true }}
            >
              {GROUP_TITLES[one]} <span className="inbox-count">{loaded ? counts[one] : ""}</span>
            </Link>
          ))}
        </nav>
        <input
          ref={field}
          className="input inbox-search"
          type="search"
          aria-label="Search sessions by title, repository or branch"
          placeholder="Search  ( / )"
          value={q}
          onChange={(event) => setSearch({ q: event.target.value })}
          onKeyDown={(event) => {
            if (event.key !== "Escape" && event.key !== "Enter") return;
            event.preventDefault();
            if (event.key === "Escape" && q !== "") setSearch({ q: "" });
            else toPage();
          }}
        />
      </div>
      {!complete &&
        loaded &&
        (failure === undefined ? (
          <p className="inbox-progress muted" role="status">
            {sessions.size} sessions so far …
          </p>
        ) : (
          <Problem title="Not all of your sessions could be read yet" error={failure} />
        ))}
      <FirstRun />
      {lines.length > 0 ? (
        <List lines={lines} />
      ) : !loaded ? (
        failure === undefined ? (
          <Loading what="your sessions" />
        ) : (
          <Problem title="Your sessions could not be read" error={failure} />
        )
      ) : (
        <Nothing show={show} q={q} any={sessions.size > 0} onClear={() => setSearch({ q: "" })} />
      )}
    </div>
  );
}

function Nothing({ show, q, any, onClear }: { show: Show; q: string; any: boolean; onClear: () => void }) {
  if (q !== "")
    return (
      <Empty title={`Nothing matches “${q}”`}>
        <p>The title, the repository or a branch of a session contains all words of a search.</p>
        <button type="button" className="button" onClick={onClear}>
          Clear the search
        </button>
      </Empty>
    );
  if (!any || show === "open")
    return (
      <Empty title={any ? "Nothing is open" : "No sessions yet"}>
        <p>
          A session is a change to a repository: you say what you want, an agent works on a branch of its own,
          you review and merge.
        </p>
        <Link to="/new" className="button" data-look="primary">
          Start a session
        </Link>
      </Empty>
    );
  return (
    <Empty title={`Nothing is in “${GROUP_TITLES[show]}”`}>
      <p>{EXPLANATIONS[show]}</p>
      <Link to="/">See what is open</Link>
    </Empty>
  );
}

const EXPLANATIONS: Readonly<Record<Exclude<Show, "open">, string>> = {
  answer: "Here come sessions whose agent asks whether it may do something, and waits for your answer.",
  review: "Here come sessions whose agent has finished: look at the changes, comment on them, merge them.",
  failed:
    "Here come sessions whose last prompt was given up. What went wrong stands under “Dead letters”, too.",
  running: "Here are sessions whose agent works now.",
  waiting: "Here are sessions that are queued, or wait for something that they name.",
  done: "Here are the sessions that you have archived.",
};
