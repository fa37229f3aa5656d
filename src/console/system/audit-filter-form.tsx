import { useId } from "react";
import { Button } from "../ui/button.tsx";
import type { AuditFilter } from "./address.ts";

/** As an input of type datetime-local has it, in the user's time zone. @param at ISO 8601. */
function localTime(at: string | undefined): string {
  if (at === undefined) return "";
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const isoTime = (local: string) => (local === "" ? undefined : new Date(local).toISOString());

/** Sent as a whole: each reading of the log is recorded. */
export function AuditFilterForm(options: { filter: AuditFilter; onApply: (filter: AuditFilter) => void }) {
  const { filter, onApply } = options;
  const id = useId();
  const field = (name: keyof AuditFilter, label: string, more: React.ComponentProps<"input">) => (
    <div className="field">
      <label htmlFor={`${id}-${name}`}>{label}</label>
      <input id={`${id}-${name}`} name={name} className="input" {...more} />
    </div>
  );
  return (
    <form
      className="system-filter"
      aria-label="Filter of the audit log"
      onSubmit={(event) => {
        event.preventDefault();
        const data = new FormData(event.currentTarget);
        const text = (name: string) => String(data.get(name) ?? "").trim();
        const [actor, action] = [text("actor"), text("action")];
        const [from, to] = [isoTime(text("from")), isoTime(text("to"))];
        onApply({
          ...(actor && { actor }),
          ...(action && { action }),
          ...(from && { from }),
          ...(to && { to }),
        });
      }}
    >
      {field("actor", "Actor", { defaultValue: filter.actor, placeholder: "A user's id", maxLength: 1_000 })}
      {field("action", "Action", {
        defaultValue: filter.action,
        placeholder: "session.create",
        maxLength: 100,
      })}
      {field("from", "From", { type: "datetime-local", defaultValue: localTime(filter.from) })}
      {field("to", "Before", { type: "datetime-local", defaultValue: localTime(filter.to) })}
      <Button type="submit" look="primary">
        Read
      </Button>
    </form>
  );
}
