import { memo } from "react";
import { CodeLine, useHighlight } from "../../highlight/code.tsx";
import { languageOf } from "../../highlight/languages.ts";
import { visible } from "../../ui/visible-text.ts";
import { Fold } from "../fold.tsx";
import type { EditHunk } from "../rows/row.ts";
import { Scrollable } from "../scrollable.tsx";

/** A change of at most this many lines is shown at once. */
const SHOWN_LINES = 24;
/** Most lines that are shown at all: the review has them all. */
const MAX_LINES = 1_500;

const sizeOf = (hunks: readonly EditHunk[]) => hunks.reduce((sum, { lines }) => sum + lines.length, 0);

/** Whether all of a change is shown where it stands. */
export const isShownWhole = (hunks: readonly EditHunk[]): boolean => sizeOf(hunks) <= MAX_LINES;

/** What an edit has changed, inline. */
export const Edit = memo(function Edit(options: { id: string; file: string; hunks: readonly EditHunk[] }) {
  const { id, file, hunks } = options;
  const added = count(hunks, "+");
  const removed = count(hunks, "-");
  const total = sizeOf(hunks);
  if (total <= SHOWN_LINES) return <Hunks file={file} hunks={hunks} tall={false} />;
  return (
    <Fold
      id={`${id}.edit`}
      title={
        <>
          {total} lines <Counts added={added} removed={removed} />
        </>
      }
    >
      {() => <Hunks file={file} hunks={hunks} tall />}
    </Fold>
  );
});

/** Numbers of added and removed lines. */
export function Counts({ added, removed }: { added: number; removed: number }) {
  return (
    <span className="counts">
      <span className="counts-added">
        <span className="visually-hidden">added </span>+{added}
      </span>{" "}
      <span className="counts-removed">
        <span className="visually-hidden">removed </span>−{removed}
      </span>
    </span>
  );
}

function Hunks(options: { file: string; hunks: readonly EditHunk[]; tall: boolean }) {
  const { file, hunks, tall } = options;
  const lines = hunks
    .flatMap(({ lines }, index) => (index > 0 ? ["@", ...lines] : lines))
    .slice(0, MAX_LINES)
    .map(visible);
  const tokens = useHighlight(lines.map((line) => line.slice(1)).join("\n"), languageOf(file));
  return (
    <Scrollable label={`Changes of ${file}`} tall={tall}>
      {lines.map((line, index) => {
        const sign = line[0] ?? " ";
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: the lines of an edit never move.
          <span key={index} className="edit-line" data-sign={sign}>
            <span className="edit-sign">{sign === "@" ? "⋯" : sign}</span>
            {tokens?.[index] ? <CodeLine tokens={tokens[index]} /> : line.slice(1)}
            {"\n"}
          </span>
        );
      })}
      {!isShownWhole(hunks) && "⋯ The rest is not shown here: see the review.\n"}
    </Scrollable>
  );
}

function count(hunks: readonly EditHunk[], sign: string): number {
  let found = 0;
  for (const { lines } of hunks) for (const line of lines) if (line.startsWith(sign)) found += 1;
  return found;
}
