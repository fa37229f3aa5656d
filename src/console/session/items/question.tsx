import { memo, useEffect, useId, useRef, useState } from "react";
import { ConflictError } from "../../../../sdk/src/index.ts";
import { client } from "../../api.ts";
import { Button } from "../../ui/button.tsx";
import { complain, say } from "../../ui/notify.ts";
import { useStored } from "../../ui/stored.ts";
import { duration, Time } from "../../ui/time.tsx";
import { visible } from "../../ui/visible-text.ts";
import type { Permission } from "../permission-reads.ts";
import { Permissions } from "../permissions.ts";
import { PromptActions } from "../prompt-actions.ts";
import type { QuestionRow } from "../rows/row.ts";
import { ToolInput } from "./tool.tsx";

/** What an agent asks before it does something, and how it was answered. */
export const Question = memo(function Question({ row }: { row: QuestionRow }) {
  const { requestId, tool, title } = row;
  const permission = Permissions.use().get(requestId);
  const pending = permission?.status === "pending";
  const card = useRef<HTMLElement>(null);
  return (
    <section
      ref={card}
      className="question"
      data-question={requestId}
      data-status={permission?.status}
      tabIndex={-1}
      aria-label={`The agent asks to use ${visible(tool)}`}
    >
      <p className="question-title">
        <span className="badge" data-tone={pending ? "warn" : undefined}>
          Asks
        </span>{" "}
        <span className="tool-name">{visible(tool)}</span> {title !== undefined && visible(title)}
      </p>
      <ToolInput row={row} />
      {permission && pending && (
        <Answer key={permission.id} permission={permission} onAnswered={() => card.current?.focus()} />
      )}
      <p className="muted" role="status">
        {permission ? stateOf(permission) : "Its answer is not known yet."}
        {permission?.answered_at && (
          <>
            {" "}
            <Time at={permission.answered_at} />
          </>
        )}
      </p>
      {permission?.reason && <p className="question-reason">{visible(permission.reason)}</p>}
    </section>
  );
});

function stateOf({ status, decision, answered_by: by }: Permission): string {
  const who = by === null ? "" : ` by ${visible(by)}`;
  switch (status) {
    case "pending":
      return "Waits for your answer.";
    case "allowed":
      return `Allowed${decision === "allow_run" ? " for this run" : ""}${who}`;
    case "denied":
      return `Denied${who || " by the service"}`;
    case "expired":
      return "Denied by itself: nobody answered in time";
    default:
      return "Withdrawn: the agent does not wait for the answer any more";
  }
}

type Decision = "allow" | "allow_run" | "deny";

function Answer({ permission, onAnswered }: { permission: Permission; onAnswered: () => void }) {
  const { id } = permission;
  const { changed } = PromptActions.use();
  const [reason, setReason] = useStored(`prompt-backend:answer:${id}`, "");
  const [busy, setBusy] = useState<Decision>();
  const form = useRef<HTMLFormElement>(null);
  const field = useId();

  const answer = async (decision: Decision) => {
    if (busy) return;
    setBusy(decision);
    const why = decision === "deny" ? reason.trim() : "";
    try {
      await client.permissions.answer(id, { decision, ...(why !== "" && { reason: why }) });
      setReason(() => "");
    } catch (error) {
      if (error instanceof ConflictError) void say(`Your answer came too late. ${error.msg}`);
      else void complain("The question was not answered", error);
    }
    await changed();
    setBusy(undefined);
    // The buttons go away: who answered goes on from here.
    if (form.current?.contains(document.activeElement)) onAnswered();
  };
  // Only where the question has the focus: a key that was meant for the page must not allow anything.
  useEffect(() => {
    const card = form.current?.closest<HTMLElement>(".question");
    const press = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLInputElement;
      if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const act = {
        y: () => void answer("allow"),
        a: () => void answer("allow_run"),
        n: () => document.getElementById(field)?.focus(),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    card?.addEventListener("keydown", press);
    return () => card?.removeEventListener("keydown", press);
  });

  return (
    <form
      ref={form}
      className="question-answer"
      onSubmit={(event) => {
        event.preventDefault();
        void answer("deny");
      }}
    >
      <Button look="primary" busy={busy === "allow"} title="y" onClick={() => void answer("allow")}>
        Allow
      </Button>
      <Button busy={busy === "allow_run"} title="a" onClick={() => void answer("allow_run")}>
        Allow for this run
      </Button>
      <label htmlFor={field} className="visually-hidden">
        Reason of a denial, optional
      </label>
      <input
        id={field}
        className="input"
        maxLength={2_000}
        placeholder="Why not (optional)"
        autoComplete="off"
        value={reason}
        onChange={(event) => setReason(() => event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") onAnswered();
        }}
      />
      <Button look="danger" type="submit" busy={busy === "deny"} title="n, then Enter">
        Deny
      </Button>
      <Left until={permission.expires_at} />
    </form>
  );
}

const TICK_MS = 1_000;

function Left({ until }: { until: string }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  const left = Math.max(0, Math.floor((Date.parse(until) - now) / 1000) * 1000);
  return <span className="muted question-left">Denied by itself in {duration(left)}</span>;
}
