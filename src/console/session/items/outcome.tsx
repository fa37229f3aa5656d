import { memo, useEffect, useState } from "react";
import type { PromptDto } from "../../../../sdk/src/index.ts";
import { duration, Time } from "../../ui/time.tsx";
import { waitText } from "../../ui/waiting.ts";
import { figuresOf } from "../figures.ts";
import { BudgetWait } from "./budget-wait.tsx";
import { TryNow } from "./try-now.tsx";

/** How a prompt stands, behind all that was said for it. */
export const Outcome = memo(function Outcome({ prompt }: { prompt: PromptDto }) {
  const { status } = prompt;
  if (prompt.waiting_for === "permission")
    return (
      <div className="outcome" data-status="Waiting">
        <span className="badge" data-tone="warn">
          Waiting for your answer
        </span>
      </div>
    );
  if (prompt.waiting_for === "budget") return <BudgetWait prompt={prompt} />;
  if (prompt.waiting_for) return <Waiting prompt={prompt} />;
  if (status === "Running") return <Running prompt={prompt} />;
  return (
    <div className="outcome" data-status={status}>
      <span className="badge" data-tone={TONES[status] ?? "info"}>
        {status === "Completed" ? "Done" : status}
      </span>
      <span className="muted">{figuresOf(prompt).join(" · ")}</span>
      {prompt.finished_at && <Time at={prompt.finished_at} className="muted" />}
      {prompt.error !== null && status === "Failed" && <p className="outcome-error">{prompt.error}</p>}
    </div>
  );
});

const TONES: Readonly<Record<string, string>> = { Completed: "good", Failed: "bad", Cancelled: "warn" };

const TICK_MS = 1_000;

function Running({ prompt }: { prompt: PromptDto }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  const since = prompt.started_at === null ? 0 : now - Date.parse(prompt.started_at);
  return (
    <div className="outcome" data-status="Running">
      <span className="pulse" aria-hidden="true" />
      <span>Working</span>
      <span className="muted">{duration(Math.max(0, Math.floor(since / 1000) * 1000))}</span>
      {prompt.attempt > 1 && <span className="muted">attempt {prompt.attempt}</span>}
    </div>
  );
}

function Waiting({ prompt }: { prompt: PromptDto }) {
  return (
    <div className="outcome" data-status="Waiting">
      <span className="badge" data-tone="warn">
        Waiting
      </span>
      <p>
        {prompt.waiting_reason ?? (prompt.waiting_for && `It waits for ${waitText(prompt.waiting_for)}.`)}
      </p>
      {prompt.next_attempt_at && (
        <span className="muted">
          Next attempt <Time at={prompt.next_attempt_at} />
        </span>
      )}
      <TryNow prompt={prompt} />
    </div>
  );
}
