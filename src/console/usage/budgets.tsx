import { useQuery } from "@tanstack/react-query";
import { useId } from "react";
import type { BudgetDto } from "../../../sdk/src/index.ts";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { usd } from "../ui/usd.ts";
import { resetText } from "./figures.ts";
import { budgetsQuery } from "./queries.ts";

const NAMES: Readonly<Record<BudgetDto["scope"], string>> = {
  run: "One run",
  session: "This session",
  user_day: "You, today",
  user_month: "You, this month",
  deployment_day: "All users, today",
};
/** From this share on, a budget's end is near. */
const NEARLY = 0.8;

/** What the reader's runs may still cost. */
export function Budgets() {
  const { data, error, refetch } = useQuery(budgetsQuery);
  return (
    <section className="card usage-section" aria-label="Budgets">
      <h2>Budgets</h2>
      {error && (
        <Problem title="The budgets could not be read" error={error} onRetry={() => void refetch()} />
      )}
      {data === undefined && !error && <Loading what="the budgets" />}
      {data?.length === 0 && (
        <p>
          No budget has a limit. Whoever runs this service sets them: <code>BUDGET_USD_PER_USER_DAY</code> and{" "}
          <code>BUDGET_USD_PER_USER_MONTH</code> for each user, <code>BUDGET_USD_PER_DEPLOYMENT_DAY</code> for
          all together, <code>BUDGET_USD_PER_SESSION</code> and <code>BUDGET_USD_PER_RUN</code> for each
          session and run.
        </p>
      )}
      {data && data.length > 0 && (
        <ul className="usage-budgets">
          {data.map((budget) => (
            <li key={budget.scope}>
              <Budget budget={budget} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** One budget with its meter: what is spent, what calls under way keep, and what is left. */
export function Budget({ budget }: { budget: BudgetDto }) {
  const id = useId();
  const { limit_usd: limit, spent_usd: spent, reserved_usd: reserved, left_usd: left } = budget;
  // A limit may have been lowered below what is spent.
  const share = (value: number) => (limit > 0 ? Math.min(1, value / limit) : 1);
  const taken = share(spent + reserved);
  const state = taken === 1 ? "full" : taken >= NEARLY ? "nearly" : undefined;
  const reservedText = reserved > 0 ? `, ${usd(reserved)} kept for calls under way` : "";
  return (
    <div className="usage-budget" data-state={state}>
      <div className="usage-line">
        <span id={id} className="usage-name">
          {NAMES[budget.scope]}
        </span>
        {state === "full" && (
          <span className="badge" data-tone="bad">
            Used up
          </span>
        )}
        {state === "nearly" && (
          <span className="badge" data-tone="warn">
            Nearly used up
          </span>
        )}
        <strong>{usd(left)} left</strong>
      </div>
      <meter
        className="visually-hidden"
        aria-labelledby={id}
        min={0}
        max={limit}
        value={Math.min(limit, spent + reserved)}
      />
      <div className="usage-meter" aria-hidden="true">
        <span className="usage-spent" style={{ width: `${share(spent) * 100}%` }} />
        <span className="usage-reserved" style={{ width: `${(taken - share(spent)) * 100}%` }} />
      </div>
      <p className="muted">
        {usd(spent)} of {usd(limit)} spent{reservedText}
        {budget.resets_at !== null && (
          <>
            ; begins anew <time dateTime={budget.resets_at}>{resetText(budget.resets_at)}</time>
          </>
        )}
      </p>
    </div>
  );
}
