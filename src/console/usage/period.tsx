import { Link, useNavigate } from "@tanstack/react-router";
import { useId, useLayoutEffect, useRef } from "react";
import { Button } from "../ui/button.tsx";
import { type Days, PERIODS, type UsageSearch } from "./address.ts";

/** Which days are shown, and whose usage. @param days those that are shown now. */
export function Period(options: { search: UsageSearch; days: Days; isAdmin: boolean }) {
  const { search, days, isAdmin } = options;
  const { from: _from, to: _to, days: _days, ...rest } = search;
  const navigate = useNavigate();
  const id = useId();
  const form = useRef<HTMLFormElement>(null);
  const { from, to } = days;
  // They are nobody's but the form's while somebody types, and made anew they would lose the focus.
  useLayoutEffect(() => {
    for (const [name, value] of Object.entries({ from, to })) {
      const input = form.current?.elements.namedItem(name);
      if (input instanceof HTMLInputElement) input.value = value;
    }
  }, [from, to]);
  const field = (name: keyof Days, label: string) => (
    <div className="field">
      <label htmlFor={`${id}-${name}`}>{label}</label>
      <input id={`${id}-${name}`} className="input" type="date" name={name} required min="2000-01-01" />
    </div>
  );
  return (
    <div className="usage-choices">
      <nav className="tabs" aria-label="Period">
        {PERIODS.map((one) => (
          <Link key={one} to="/u" search={{ ...rest, days: one }}>
            {one} days
          </Link>
        ))}
      </nav>
      <form
        ref={form}
        className="usage-days"
        aria-label="Days"
        onSubmit={(event) => {
          event.preventDefault();
          const data = new FormData(event.currentTarget);
          const [first, last] = [String(data.get("from")), String(data.get("to"))];
          void navigate({ to: "/u", search: { ...rest, from: first, to: last } });
        }}
      >
        {field("from", "From")}
        {field("to", "To")}
        <Button type="submit">Show</Button>
      </form>
      {isAdmin && (
        <nav className="tabs" aria-label="Whose usage">
          <Link to="/u" search={{ ...search, scope: "own", by: search.by === "user" ? "repo" : search.by }}>
            Mine
          </Link>
          <Link to="/u" search={{ ...search, scope: "all" }}>
            All users
          </Link>
        </nav>
      )}
    </div>
  );
}
