import { useQuery } from "@tanstack/react-query";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { describe } from "../ui/problem.tsx";
import { visible } from "../ui/visible-text.ts";
import { Budget } from "./budgets.tsx";
import { figuresText } from "./figures.ts";
import { sessionUsageQuery } from "./queries.ts";

/** What the models of a session have cost, as counted where their calls pass, with what its budget has left. */
export function SessionUsage({ session }: { session: SessionDto }) {
  const { id, promptsVersion: prompts, inboxStatus } = session;
  const works = inboxStatus === "Pending" || inboxStatus === "Processing";
  const { data, error } = useQuery(sessionUsageQuery(id, { prompts, works }));
  if (!data) return error ? describe(error).text : null;
  const { usage, total, budget } = data;
  return (
    <>
      {total.calls === 0 ? "No model was called." : figuresText(total)}
      {usage.length > 1 && (
        <ul className="effects">
          {usage.map((one) => (
            <li key={one.key}>
              <code>{visible(one.key)}</code> {figuresText(one)}
            </li>
          ))}
        </ul>
      )}
      {budget !== null && <Budget budget={budget} />}
    </>
  );
}
