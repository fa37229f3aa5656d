import type { PromptDto, SteerDto, TurnDto } from "../../../sdk/src/index.ts";
import type { EarlierRow, OutcomeRow, PromptRow, Row, SaidRow } from "./rows/row.ts";

/** Rows that are the same stay the same object, so that they are not rendered again. */
const promptRows = new WeakMap<PromptDto, PromptRow>();
const outcomeRows = new WeakMap<PromptDto, OutcomeRow>();

/** The whole conversation: what was said before a fork, then each prompt, what was said for it, and how it stands. */
export function allRows(options: {
  prompts: readonly PromptDto[];
  said: ReadonlyMap<string, readonly SaidRow[]>;
  earlier: readonly TurnDto[];
  pending: readonly SteerDto[];
}): Row[] {
  const { prompts, said, earlier, pending } = options;
  const rows: Row[] = earlier.map(
    ({ role, content, at }, index): EarlierRow => ({
      kind: "earlier",
      key: `earlier.${index}`,
      role,
      text: content,
      at,
    }),
  );
  const known = new Set(prompts.map(({ id }) => id));
  let ahead = 0;
  for (const prompt of prompts) {
    const waits = prompt.status === "Queued" && prompt.started_at === null;
    rows.push(promptRow(prompt, waits ? ahead : undefined));
    for (const row of said.get(prompt.id) ?? []) rows.push(row);
    if (prompt.finished_at === null)
      for (const one of pending) if (one.prompt_id === prompt.id) rows.push(steerRow(one));
    if (!waits || prompt.waiting_for !== null) rows.push(outcomeRow(prompt));
    if (prompt.status === "Queued" || prompt.status === "Running") ahead += 1;
  }
  // Of a prompt that was created a moment ago.
  for (const [id, more] of said) if (!known.has(id)) rows.push(...more);
  return rows;
}

const steerRow = ({ id, prompt_id: promptId, text, created_at: at }: SteerDto): SaidRow => ({
  ...{ kind: "steer", key: `s-${id}`, steerId: id, text, pending: true },
  ...{ promptId, seq: 0, at, superseded: false, nested: false },
});

function promptRow(prompt: PromptDto, ahead: number | undefined): PromptRow {
  const before = promptRows.get(prompt);
  if (before?.ahead === ahead && before) return before;
  const row: PromptRow = { kind: "prompt", key: `p-${prompt.id}`, prompt, ahead };
  promptRows.set(prompt, row);
  return row;
}

function outcomeRow(prompt: PromptDto): OutcomeRow {
  const row = outcomeRows.get(prompt) ?? { kind: "outcome", key: `o-${prompt.id}`, prompt };
  outcomeRows.set(prompt, row);
  return row;
}
